#!/usr/bin/env python3
"""Checks that `dlm pull` and huggingface_hub share a cache, against a hub on this machine.

    tools/dev/check_hub_cache.py DLM HUB_SERVER CHECKPOINT

DLM is the program, HUB_SERVER that of tests/cli/hub_server.c, CHECKPOINT a folder with a small base
(share/tiny-shapes-qwen2-vl). What dlm pulled must load offline in transformers and be complete to
huggingface_hub, which must find no file to fetch; what huggingface_hub fetched must be a base to
dlm, which must fetch nothing again. A pull that is killed at moments all over its length leaves
nothing that huggingface_hub, offline, gives out as a snapshot with a file missing or cut. Made with
huggingface_hub 2.4.0, transformers 5.23.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ID = "me/base"

# In a process of its own: huggingface_hub reads the environment when it is imported.
DOWNLOAD = """
import huggingface_hub, sys
print(huggingface_hub.snapshot_download(sys.argv[1], allow_patterns=["*.json", "*.safetensors"]))
"""
LOAD = """
import sys, transformers
name = sys.argv[1]
config = transformers.AutoConfig.from_pretrained(name)
model = transformers.AutoModelForImageTextToText.from_pretrained(name)
tokenizer = transformers.AutoTokenizer.from_pretrained(name)
print(type(model).__name__, sum(p.numel() for p in model.parameters()), len(tokenizer))
"""
# What it gives out offline, if anything: the sizes of the files.
FIND = """
import huggingface_hub, json, os, sys
try:
    folder = huggingface_hub.snapshot_download(sys.argv[1], local_files_only=True)
    print(json.dumps({name: os.path.getsize(os.path.join(folder, name))
                      for name in sorted(os.listdir(folder))}))
except huggingface_hub.errors.LocalEntryNotFoundError:
    print("none")
"""
SCAN = """
import huggingface_hub
info = huggingface_hub.scan_cache_dir()
assert not info.warnings, info.warnings
for repo in info.repos:
    for rev in repo.revisions:
        print(repo.repo_id, rev.commit_hash, sorted(rev.refs), len(rev.files), rev.size_on_disk)
"""


class Hub:
    def __init__(self, program, root):
        self.log = os.path.join(root, "log")
        open(self.log, "w").close()
        self.process = subprocess.Popen([program, "-l", self.log, os.path.join(root, "hub")],
                                        stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()

    def requests(self):
        """What was asked for since the last call."""
        with open(self.log) as f:
            lines = f.read().splitlines()
        open(self.log, "w").close()
        return lines

    def close(self):
        self.process.kill()
        self.process.wait()


def run(command, env, **changes):
    done = subprocess.run(command, env={**env, **changes}, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{command[:3]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def python(script, env, *arguments, **changes):
    return run([sys.executable, "-c", script, *arguments], env, **changes)


def check(name, holds):
    print("ok  " if holds else "FAIL", name)
    if not holds:
        sys.exit(1)


def main():
    dlm, server, checkpoint = map(os.path.abspath, sys.argv[1:4])
    root = tempfile.mkdtemp()
    shutil.copytree(checkpoint, f"{root}/hub/{ID}")
    with open(f"{root}/hub/{ID}.commit", "w") as f:
        f.write(COMMIT)
    hub = Hub(server, root)
    env = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1",
           "HF_HUB_DISABLE_TELEMETRY": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}

    env["HF_HOME"] = f"{root}/of-dlm"
    folder = run([dlm, "pull", f"hf:{ID}"], env)
    hub.requests()
    loaded = python(LOAD, env, ID, HF_HUB_OFFLINE="1")
    check(f"a base that dlm pulled loads offline in transformers: {loaded}", True)
    check("huggingface_hub says where it is, offline",
          python(DOWNLOAD, env, ID, HF_HUB_OFFLINE="1") == folder)
    check(f"its scan of the cache: {python(SCAN, env)}", COMMIT in python(SCAN, env))
    check("no request so far", not hub.requests())
    check("it finds it complete, online", python(DOWNLOAD, env, ID) == folder)
    check("and fetches no file", not [r for r in hub.requests() if " GET " in r and "/resolve/" in r])

    env["HF_HOME"] = f"{root}/of-hub"
    folder = python(DOWNLOAD, env, ID)
    hub.requests()
    check("a base that huggingface_hub fetched is one to dlm",
          f'"path": "{folder}"' in show_local(dlm, env, root))
    check("dlm pull gives the same folder", run([dlm, "pull", f"hf:{ID}"], env) == folder)
    check("and fetches no file", not [r for r in hub.requests() if "/resolve/" in r])
    check_kills(dlm, env, root)
    hub.close()
    shutil.rmtree(root)


def check_kills(dlm, env, root, num=50):
    """The cache as huggingface_hub sees it, offline, after each of as many kills."""
    env["HF_HOME"] = f"{root}/killed"
    began = time.monotonic()
    run([dlm, "pull", f"hf:{ID}"], env)
    length = time.monotonic() - began
    whole = python(FIND, env, ID)
    killed = found = 0
    for i in range(num):
        shutil.rmtree(env["HF_HOME"], ignore_errors=True)
        job = subprocess.Popen([dlm, "pull", f"hf:{ID}"], env=env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        time.sleep(length * 2 * i / num)
        job.kill()
        killed += job.wait() != 0
        seen = python(FIND, env, ID)
        found += seen == whole
        if seen not in ("none", whole):
            sys.exit(f"FAIL kill {i}: {seen}, not {whole}")
    check(f"{killed} of {num} pulls killed: {found} snapshots, each whole", 0 < killed)


def show_local(dlm, env, root):
    """What `dlm bases` knows of the base, as a row of the user's."""
    os.makedirs(f"{root}/home/bases.d", exist_ok=True)
    with open(f"{root}/home/bases.d/base.yaml", "w") as f:
        f.write(f"key: my-base\nhf_id: {ID}\nrevision: \"{COMMIT}\"\n"
                "architecture: Qwen2VLForConditionalGeneration\nlicense_spdx: MIT\n")
    return run([dlm, "--home", f"{root}/home", "bases", "--json"], env)


if __name__ == "__main__":
    main()
