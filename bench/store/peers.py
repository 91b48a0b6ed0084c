"""The stores that portbook is compared with: their tables, and the questions in their words."""
import json
import pathlib
import subprocess

from questions import utc

# Field of the workload: type of the value. An absent one is the type's zero: experts of both stores advise against nullable columns.
FIELDS = {
    "kind": "word", "time": "time", "vantage": "word", "host": "word", "proto": "word", "direction": "word", "outcome": "word", "nat": "word",
    "clock_state": "word", "src.ip": "ip", "src.port": "u16", "dst.ip": "ip", "dst.port": "u16", "src.nat.ip": "ip", "src.nat.port": "u16",
    "dst.nat.ip": "ip", "dst.nat.port": "u16", "conn": "id", "netns": "u64", "pid": "u32", "process_start": "time", "exe": "word", "uid": "u32",
    "clock_error": "u64", "start": "time", "end": "time", "bytes_out": "u64", "bytes_in": "u64", "packets_out": "u64", "packets_in": "u64",
    "rtt": "u64", "ppid": "u32", "cmdline": "text", "cwd": "word", "user": "word", "conntrack_id": "u32", "errno": "word",
}


def column(field):
    return field.replace(".", "_") + ("_" if field in ("end", "user", "start") else "")


class Engine:
    """One engine in a process of its own."""

    def __init__(self, name, folder, node):
        folder.mkdir(exist_ok=True)
        self.folder, self.node = folder, node
        self.process = subprocess.Popen([node, pathlib.Path(__file__).with_name("engine.mjs"), name, folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, sql):
        """(milliseconds, rows)"""
        self.process.stdin.write(json.dumps({"sql": sql}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{type(self).__name__} ended while it was asked: {sql[:200]}")
        answer = json.loads(line)
        if "error" in answer:
            raise SystemExit(f"{type(self).__name__}: {answer['error'][:600]}\n  {sql[:400]}")
        return answer["ms"], answer["rows"]

    @property
    def pid(self):
        return self.process.pid

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(timeout=60)

    def who(self, question):
        """The connections or leases that held the endpoint at the moment, and the sockets behind each lease."""
        at = self.time(question.at)
        side = "src_nat" if question.sort == "external" else "src"
        ms, rows = self.ask(self.covering(f"{side}_ip = {self.ip(question.ip)} AND {side}_port = {question.port}", at))
        if question.sort == "external":
            for row in rows[:8]:
                took, _ = self.ask(self.covering(f"src_ip = {self.ip(row[3])} AND src_port = {row[4]} AND direction = 'out'", at))
                ms += took
        return ms, {row[0] for row in rows}

    def covering(self, where, at):
        # A close has its start; an open counts for as long as no close of its connection is known.
        return f"""SELECT conn, min(CASE WHEN kind IN ('open', 'nat_open') THEN time ELSE start_ END) AS began,
            max(CASE WHEN kind IN ('close', 'nat_close') THEN end_ ELSE {self.time(0)} END) AS ended,
            min(src_ip) AS src_ip_, min(src_port) AS src_port_, min(pid) AS pid_, min(exe) AS exe_
            FROM records WHERE {where} AND kind IN ('open', 'close', 'nat_open', 'nat_close') GROUP BY conn
            HAVING began <= {at} AND (ended = {self.time(0)} OR ended >= {at}) LIMIT 100"""

    def endpoint(self, ip, port):
        """The newest 100 records of an endpoint."""
        either = " OR ".join(f"({side}_ip = {self.ip(ip)} AND {side}_port = {port})" for side in ("src", "dst", "src_nat", "dst_nat"))
        ms, rows = self.ask(f"SELECT * FROM records WHERE {either} ORDER BY time DESC LIMIT 100")
        return ms, len(rows)

    def by_program(self, one):
        ms, rows = self.ask(f"""SELECT exe, count(*) AS n, sum(bytes_out) AS bytes FROM records WHERE kind = 'close'
            AND dst_port <> {one.port} AND {self.between(one)} GROUP BY exe ORDER BY n DESC, exe LIMIT 50""")
        return ms, sorted((row[0], int(row[1]), int(row[2])) for row in rows)

    def per_second(self, one):
        ms, rows = self.ask(f"""SELECT {self.second()} AS second, count(*) AS n FROM records WHERE kind = 'close'
            AND uid = {one.uid} AND dst_port <> {one.port} AND {self.between(one)} GROUP BY second ORDER BY second""")
        return ms, [int(row[1]) for row in rows]

    def destinations(self, one):
        ms, rows = self.ask(f"""SELECT dst_ip, count(*) AS n FROM records WHERE kind = 'close'
            AND dst_port = {one.port} AND uid <> {one.uid} AND {self.between(one)} GROUP BY dst_ip ORDER BY n DESC, dst_ip LIMIT 20""")
        return ms, [int(row[1]) for row in rows]

    def between(self, one):
        return f"start_ >= {self.time(one.since)} AND start_ < {self.time(one.until)}"


class ClickHouse(Engine):
    """A MergeTree in the order of time within a kind, so that both prune; typed codecs, and bloom filters over the endpoints."""
    TYPES = {"word": "LowCardinality(String)", "text": "String CODEC(ZSTD(1))", "time": "DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1))", "ip": "IPv6 CODEC(ZSTD(1))",
             "u16": "UInt16 CODEC(ZSTD(1))", "u32": "UInt32 CODEC(ZSTD(1))", "u64": "UInt64 CODEC(ZSTD(1))", "id": "FixedString(16) CODEC(ZSTD(1))"}
    READ = {"word": "String", "text": "String", "time": "DateTime64(9, 'UTC')", "ip": "IPv6", "u16": "UInt16", "u32": "UInt32", "u64": "UInt64", "id": "String"}

    def __init__(self, folder, node):
        super().__init__("clickhouse", folder, node)
        self.version = self.ask("SELECT version()")[1][0][0]

    def time(self, at):
        return f"toDateTime64('{utc(at)[:-1].replace('T', ' ')}', 9, 'UTC')"

    def ip(self, text):
        return f"toIPv6('{text}')"

    def second(self):
        return "toStartOfSecond(start_)"

    def load(self, lines):
        """Seconds until all rows answer, then the merge that follows; what the fields are is said, not guessed."""
        columns = ", ".join(f"{column(field)} {self.TYPES[kind]}" for field, kind in FIELDS.items())
        filters = ", ".join(f"INDEX {side}_endpoint ({side}_ip, {side}_port) TYPE bloom_filter(0.01) GRANULARITY 1" for side in ("src", "dst", "src_nat", "dst_nat"))
        self.ask(f"CREATE TABLE records ({columns}, {filters}) ENGINE = MergeTree ORDER BY (kind, time)")
        structure = ", ".join(f"`{field}` {self.READ[kind]}" for field, kind in FIELDS.items()).replace("'", "\\'")
        values = ", ".join(f"unhex(`{field}`)" if kind == "id" else f"`{field}`" for field, kind in FIELDS.items())
        insert, _ = self.ask(f"""INSERT INTO records SELECT {values} FROM file('{lines}', JSONEachRow, '{structure}')
            SETTINGS date_time_input_format = 'best_effort', input_format_parallel_parsing = 1, max_insert_threads = 2""")
        merge, _ = self.ask("OPTIMIZE TABLE records FINAL")
        return insert / 1000, merge / 1000

    def bytes_of(self, records):
        """Of the parts that are in use."""
        return {"table with its filters": int(self.ask("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'records'")[1][0][0]) / records}

    def covering(self, where, at):
        return super().covering(where, at).replace("SELECT conn,", "SELECT lower(hex(conn)),")


class DuckDB(Engine):
    """Rows in the order of arrival, which is nearly that of time, so that its zone maps prune; texts get dictionaries by themselves."""
    TYPES = {"word": "VARCHAR", "text": "VARCHAR", "time": "TIMESTAMP_NS", "ip": "VARCHAR", "u16": "USMALLINT", "u32": "UINTEGER", "u64": "UBIGINT", "id": "UUID"}

    def __init__(self, folder, node):
        super().__init__("duckdb", folder, node)
        self.version = self.ask("SELECT version()")[1][0][0]

    def time(self, at):
        return f"TIMESTAMP_NS '{utc(at)[:-1].replace('T', ' ')}'"

    def ip(self, text):
        return f"'{text}'"

    def second(self):
        return "date_trunc('second', start_)"

    def load(self, lines):
        """Seconds until all rows are in the database file, then writing them as Parquet."""
        typed = ", ".join(f"'{field}': '{self.TYPES[kind]}'" for field, kind in FIELDS.items())
        zero = {"word": "''", "text": "''", "ip": "''", "time": self.time(0), "id": "'00000000-0000-0000-0000-000000000000'"}
        values = ", ".join(f"""coalesce("{field}", {zero.get(kind, 0)}) AS {column(field)}""" for field, kind in FIELDS.items())
        insert, _ = self.ask(f"CREATE TABLE records AS SELECT {values} FROM read_json('{lines}', format = 'newline_delimited', columns = {{{typed}}})")
        checkpoint, _ = self.ask("CHECKPOINT")
        parquet, _ = self.ask(f"COPY records TO '{self.folder}/records.parquet' (FORMAT parquet, COMPRESSION zstd)")
        return (insert + checkpoint) / 1000, parquet / 1000

    def bytes_of(self, records):
        return {"database": (self.folder / "duckdb").stat().st_size / records, "Parquet, zstd": (self.folder / "records.parquet").stat().st_size / records}

    def covering(self, where, at):
        return super().covering(where, at).replace("SELECT conn,", "SELECT replace(CAST(conn AS VARCHAR), '-', ''),")
