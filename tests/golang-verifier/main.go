// Checks an exported log with golang.org/x/mod alone: the note's signature, the checkpoint, every tile, every record's proof, and the
// proofs that the book itself gave.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "golang-verifier:", err)
		os.Exit(1)
	}
}

func read(path ...string) []byte {
	data, err := os.ReadFile(filepath.Join(path...))
	must(err)
	return data
}

// parseCheckpoint opens the note and reads origin, size and root.
func parseCheckpoint(message []byte, verifier note.Verifier) tlog.Tree {
	opened, err := note.Open(message, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		must(fmt.Errorf("not a checkpoint of %s: %q", verifier.Name(), opened.Text))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: root}
}

// tilePath leaves out the height, as C2SP tlog-tiles does.
func tilePath(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
}

type tiles struct{ root string }

func (t tiles) Height() int { return height }
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		data, err := os.ReadFile(filepath.Join(t.root, tilePath(tile)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// records reads every entry bundle.
func records(root string, size int64) [][]byte {
	var all [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := 256
		if size-n*256 < 256 {
			width = int(size - n*256)
		}
		path := strings.Replace(tlog.Tile{H: height, L: 0, N: n, W: width}.Path(), "tile/8/0/", "tile/entries/", 1)
		data := read(root, path)
		for i := 0; i < width; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				must(fmt.Errorf("%s is cut short at entry %d", path, i))
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:end])
			data = data[end:]
		}
		if len(data) != 0 {
			must(fmt.Errorf("%s has %d bytes behind its last entry", path, len(data)))
		}
	}
	return all
}

func main() {
	if len(os.Args) != 2 {
		must(fmt.Errorf("usage: golang-verifier DIR"))
	}
	folder := os.Args[1]
	root := filepath.Join(folder, "tlog")
	verifier, err := note.NewVerifier(strings.TrimSpace(string(read(root, "vkey"))))
	must(err)
	tree := parseCheckpoint(read(root, "checkpoint"), verifier)
	entries := records(root, tree.N)

	var stored []tlog.Hash
	memory := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var all []tlog.Hash
		for _, i := range indexes {
			all = append(all, stored[i])
		}
		return all, nil
	})
	for i, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(i), entry, memory)
		must(err)
		stored = append(stored, hashes...)
	}
	head, err := tlog.TreeHash(tree.N, memory)
	must(err)
	if head != tree.Hash {
		must(fmt.Errorf("the entries hash to %v, the checkpoint says %v", head, tree.Hash))
	}

	all := 0
	for _, tile := range tlog.NewTiles(height, 0, tree.N) {
		// An export has the right edge's tiles in their present width only.
		if edge := (tree.N >> (height * uint(tile.L))) % 256; tile.W != 256 && int64(tile.W) != edge {
			continue
		}
		all++
		data, err := tlog.ReadTileData(tile, memory)
		must(err)
		if !bytes.Equal(data, read(root, tilePath(tile))) {
			must(fmt.Errorf("%s is not what the entries hash to", tilePath(tile)))
		}
	}
	authenticated := tlog.TileHashReader(tree, tiles{root})
	for i, entry := range entries {
		proof, err := tlog.ProveRecord(tree.N, int64(i), memory)
		must(err)
		must(tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(entry)))
		if i%61 == 0 {
			proof, err = tlog.ProveRecord(tree.N, int64(i), authenticated)
			must(err)
			must(tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(entry)))
		}
	}

	given := checkGivenProofs(folder, verifier, entries)
	olderOnes := checkConsistency(folder, tree)
	if given == 0 || olderOnes == 0 {
		must(fmt.Errorf("there were no proofs to check"))
	}
	fmt.Printf("golang-verifier: %d records, %d tiles, %d proofs of the book and %d older trees hold\n", len(entries), all, given, olderOnes)
}

func parseHashes(lines []string) []tlog.Hash {
	var hashes []tlog.Hash
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		must(err)
		hashes = append(hashes, hash)
	}
	return hashes
}

// checkGivenProofs checks the tlog-proof files that the book wrote.
func checkGivenProofs(folder string, verifier note.Verifier, entries [][]byte) int {
	paths, err := filepath.Glob(filepath.Join(folder, "proofs", "*.tlog-proof"))
	must(err)
	for _, path := range paths {
		text := string(read(path))
		split := strings.Index(text, "\n\n")
		lines := strings.Split(text[:split], "\n")
		if lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
			must(fmt.Errorf("%s is no proof file", path))
		}
		index, err := strconv.ParseInt(lines[1][6:], 10, 64)
		must(err)
		tree := parseCheckpoint([]byte(text[split+2:]), verifier)
		must(tlog.CheckRecord(tlog.RecordProof(parseHashes(lines[2:])), tree.N, tree.Hash, index, tlog.RecordHash(entries[index])))
		other := tlog.RecordHash(append([]byte{0}, entries[index]...))
		if tlog.CheckRecord(tlog.RecordProof(parseHashes(lines[2:])), tree.N, tree.Hash, index, other) == nil {
			must(fmt.Errorf("%s also proves another record", path))
		}
	}
	return len(paths)
}

func checkConsistency(folder string, tree tlog.Tree) int {
	paths, err := filepath.Glob(filepath.Join(folder, "consistency", "*"))
	must(err)
	for _, path := range paths {
		size, err := strconv.ParseInt(filepath.Base(path), 10, 64)
		must(err)
		lines := strings.Split(strings.TrimSpace(string(read(path))), "\n")
		if _, err := base64.StdEncoding.DecodeString(lines[0]); err != nil {
			must(err)
		}
		hashes := parseHashes(lines)
		must(tlog.CheckTree(tlog.TreeProof(hashes[1:]), tree.N, tree.Hash, size, hashes[0]))
	}
	return len(paths)
}
