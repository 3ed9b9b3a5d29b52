"""Streams an image as nixpkgs' script does: `stream.py CONF STORE > archive.tar`.

The peer of `cargo xtask bench images`. CONF is JSON: `store_layers`, a list of lists of paths; `config`; `repo_tag`;
`created`. The objects are read below STORE, where `/nix/store` is. As in the script, each layer is packed twice, once to
learn its digest and size, and once into the archive.
"""

import datetime
import hashlib
import io
import json
import os
import sys
import tarfile
import threading


class Counting:
    """Hashes and counts what is written to it."""

    def __init__(self):
        self.hash, self.size = hashlib.sha256(), 0

    def write(self, data):
        self.hash.update(data)
        self.size += len(data)


def pack(out, paths, store):
    """Writes the store layer of some paths."""

    def own(info):
        info.mtime, info.uid, info.gid, info.uname, info.gname = 1, 0, 0, "root", "root"
        return info

    def directory(name):
        info = own(tarfile.TarInfo(name))
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        return info

    def add(real, name):
        info = own(tar.gettarinfo(real))
        info.name = name
        if info.islnk():
            info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.stat(real).st_size
        if info.isfile():
            with open(real, "rb") as content:
                tar.addfile(info, content)
        else:
            tar.addfile(info)
        if info.isdir():
            for child in sorted(os.listdir(real)):
                add(os.path.join(real, child), name + "/" + child)

    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(directory("/nix"))
        tar.addfile(directory("/nix/store"))
        for path in paths:
            add(store + path, path)


def add_layer(archive, paths, store):
    """Packs to learn the digest, then packs into the archive through a pipe."""
    counting = Counting()
    pack(counting, paths, store)
    digest = counting.hash.hexdigest()
    info = tarfile.TarInfo(digest + "/layer.tar")
    info.size, info.mtime = counting.size, 1
    reading, writing = os.pipe()
    with open(reading, "rb") as source:

        def produce():
            with open(writing, "wb") as sink:
                pack(sink, paths, store)

        thread = threading.Thread(target=produce)
        thread.start()
        archive.addfile(info, source)
        thread.join()
    return digest, paths


def add_bytes(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), 1
    archive.addfile(info, io.BytesIO(content))


def main():
    conf, store = json.load(open(sys.argv[1])), sys.argv[2]
    created = datetime.datetime.fromisoformat(conf["created"]).isoformat()
    with tarfile.open(mode="w|", fileobj=sys.stdout.buffer) as archive:
        layers = [add_layer(archive, paths, store) for paths in conf["store_layers"]]
        image = json.dumps(
            {
                "created": created,
                "architecture": "amd64",
                "os": "linux",
                "config": conf["config"],
                "rootfs": {"diff_ids": ["sha256:" + digest for digest, _ in layers], "type": "layers"},
                "history": [{"created": created, "comment": f"store paths: {paths}"} for _, paths in layers],
            }
        ).encode()
        name = hashlib.sha256(image).hexdigest() + ".json"
        add_bytes(archive, name, image)
        manifest = [
            {
                "Config": name,
                "RepoTags": [conf["repo_tag"]],
                "Layers": [digest + "/layer.tar" for digest, _ in layers],
            }
        ]
        add_bytes(archive, "manifest.json", json.dumps(manifest).encode())


main()
