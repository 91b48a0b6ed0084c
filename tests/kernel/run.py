#!/usr/bin/env python3
"""`./dev test kernel [REGEX]`: capture on another kernel. Boots Debian 12's own cloud kernel in qemu and runs guest.py there, or another
program of this repository (--program PATH).

The guest's root is this machine's root: shared by virtiofs, read-only, with all that the guest writes kept in its memory. So the programs,
python3, nft and their libraries are the ones that are here; the kernel and its modules are those of the Debian package, downloaded
and unpacked into build/kernel/, never installed. Software emulation, since a machine that builds is often itself a guest:
KERNEL_ACCEL=kvm chooses otherwise. KERNEL_PACKAGE names another kernel package; --headers adds its headers, for programs that compile against them. REGEX chooses tests by name.

The exit code is 0 only when the guest itself said that every test passed; a guest that stops talking, a panic and a test that was
skipped are failures.
"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", ROOT / "build/release"))
WORK = ROOT / "build/kernel"
BUSYBOX = "/bin/busybox"
VIRTIOFSD = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"]
SECONDS_MAX = int(os.environ.get("KERNEL_SECONDS", "1500"))
MEMORY_MIB = 3072
# What stands between the boot and the shared root; the rest is loaded by the kernel itself when a test needs it.
BOOT_MODULES = ["virtio_pci", "virtiofs", "overlay"]
VERDICT = re.compile(r"^KERNEL TEST: (\d+) passed, (\d+) failed\s*$")


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def kernel_package():
    """The name of the newest kernel package: what Debian's own cloud images depend on."""
    chosen = os.environ.get("KERNEL_PACKAGE")
    if chosen:
        return chosen
    found = re.search(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", "linux-image-cloud-amd64"))
    if not found:
        sys.exit("apt knows no linux-image-cloud-amd64; is this Debian with its package lists (apt-get update)?")
    return found.group(1)


def unpack(package, folder):
    run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package, cwd=folder)
    deb = next(folder.glob("*.deb"))
    run("dpkg-deb", "-x", deb, folder)
    deb.unlink()


def unpack_kernel(package):
    """Downloads and unpacks once; returns the folder."""
    folder = WORK / package
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        unpack(package, folder)
        run("/sbin/depmod", "-b", folder, next((folder / "lib/modules").iterdir()).name)
        (folder / "complete").touch()
    return folder


def unpack_headers(package):
    """The headers of that kernel, which stand in its folder's usr/src afterwards."""
    headers = package.replace("linux-image", "linux-headers")
    common = re.search(r"Depends: (linux-headers-\S+-common)", run("apt-cache", "depends", headers)).group(1)
    for one in (headers, common):
        if not (WORK / package / "usr/src" / one).exists():
            unpack(one, WORK / package)


def make_first_root(kernel, version):
    """The initramfs: busybox, the modules to reach the shared root, and first_init."""
    tree = WORK / "first-root"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "proc", "sys", "dev", "lower", "over", "root", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, tree / "bin/busybox")
    shutil.copy(ROOT / "tests/kernel/first_init", tree / "init")
    (tree / "init").chmod(0o755)
    order = []
    for module in BOOT_MODULES:
        for line in run("/sbin/modprobe", "-d", kernel, "-S", version, "--show-depends", module).splitlines():
            if line.startswith("insmod"):
                path = pathlib.Path(line.split()[1])
                if path.name not in order:
                    order.append(path.name)
                    shutil.copy(path, tree / "modules" / path.name)
    (tree / "modules/order").write_text("".join(name + "\n" for name in order))
    image = WORK / "first-root.cpio"
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with open(image, "wb") as out:
        subprocess.run([BUSYBOX, "cpio", "-o", "-H", "newc"], input=names.encode(), stdout=out, stderr=subprocess.DEVNULL, cwd=tree, check=True)
    return image


def boot(kernel, version, image, socket, options):
    accel = os.environ.get("KERNEL_ACCEL", "tcg")
    words = {"console": "ttyS0", "panic": "-1", "quiet": None, "pb_source": ROOT, "pb_build": BUILD, "pb_modules": kernel / "lib/modules",
             "pb_program": options.program, "pb_tests": options.tests}
    return subprocess.Popen(
        ["qemu-system-x86_64", "-accel", accel, *(["-cpu", "max"] if accel == "tcg" else ["-cpu", "host"]), "-smp", "2", "-m", str(MEMORY_MIB),
         "-object", f"memory-backend-memfd,id=memory,size={MEMORY_MIB}M,share=on", "-numa", "node,memdev=memory",
         "-chardev", f"socket,id=files,path={socket}", "-device", "vhost-user-fs-pci,chardev=files,tag=host", "-nic", "none",
         "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", str(kernel / f"boot/vmlinuz-{version}"), "-initrd", str(image),
         "-append", " ".join(name if value is None else f"{name}={value}" for name, value in words.items())],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def follow(guest):
    """Passes the console on; returns the guest's own verdict, or nothing when it gave none in time."""
    watchdog = threading.Timer(SECONDS_MAX, guest.kill)
    watchdog.start()
    verdict = None
    with open(WORK / "console.log", "w", encoding="utf-8") as log:
        for raw in guest.stdout:
            line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|\r", "", raw.decode(errors="replace")).rstrip("\n")
            log.write(line + "\n")
            print(line, flush=True)
            verdict = VERDICT.match(line) or verdict
    watchdog.cancel()
    return verdict


def main():
    if os.geteuid() != 0:
        sys.exit("./dev test kernel needs root: the guest reads this machine's root as root")
    parser = argparse.ArgumentParser()
    parser.add_argument("tests", nargs="?", default=".")
    parser.add_argument("--program", default="tests/kernel/guest.py")
    parser.add_argument("--headers", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    daemon = next((path for path in VIRTIOFSD if os.path.exists(path)), None)
    if daemon is None:
        sys.exit("virtiofsd is missing (Debian 12: in qemu-system-common)")
    WORK.mkdir(parents=True, exist_ok=True)
    package = kernel_package()
    kernel = unpack_kernel(package)
    if options.headers:
        unpack_headers(package)
    version = next((kernel / "lib/modules").iterdir()).name
    image = make_first_root(kernel, version)
    socket = WORK / "files.socket"
    socket.unlink(missing_ok=True)
    began = time.monotonic()
    with open(WORK / "virtiofsd.log", "w") as log:
        files = subprocess.Popen([daemon, f"--socket-path={socket}", "-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=always"], stdout=log, stderr=log)
    guest = None
    try:
        while not socket.exists():
            if files.poll() is not None:
                sys.exit(f"virtiofsd ended: {(WORK / 'virtiofsd.log').read_text()}")
            time.sleep(0.02)
        guest = boot(kernel, version, image, socket, options)
        verdict = follow(guest)
    finally:
        for process in (guest, files):
            if process is not None and process.poll() is None:
                process.kill()
            if process is not None:
                process.wait()
    print(f"Linux {version} under qemu, {time.monotonic() - began:.0f} s")
    if verdict is None:
        sys.exit(f"the guest ended, or was ended after {SECONDS_MAX} s, without a verdict; its console is in build/kernel/console.log")
    return 0 if int(verdict.group(1)) > 0 and int(verdict.group(2)) == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
