"""llama.cpp's programs, as tools/dev/llama_cpp builds them, for scripts beside this one.

All compute on one thread, in f32 where the file is: without flash attention, with f32 keys and
values. They write through a thread that the end of the process does not wait for, so that the end
of what they print may be lost: they are asked again until two whole answers agree.
"""
import json
import os
import subprocess

EXACT = ["-t", "1", "-fa", "off", "-ctk", "f32", "-ctv", "f32", "--no-warmup"]
GREEDY = ["--temp", "0", "--no-escape"]
END = " [end of text]"


class Llama:
    def __init__(self, folder):
        self.bin = os.path.join(os.path.abspath(folder), "bin")

    def run(self, name, *args):
        """What it prints to stdout and to stderr."""
        got = subprocess.run([os.path.join(self.bin, name), *map(str, args)], text=True,
                             encoding="utf-8", errors="replace", capture_output=True)
        if got.returncode:
            raise SystemExit(f"{name} fails:\n{got.stderr[-2000:]}")
        return got.stdout, got.stderr

    def whole(self, name, *args):
        seen = []
        for _ in range(200):
            out = self.run(name, *args)[0]
            if out.endswith("\n\n"):
                if out in seen:
                    return out[:-2]
                seen.append(out)
        raise SystemExit(f"{name}: what it prints is never whole")

    def quantize(self, source, out, kind):
        self.run("llama-quantize", source, out, kind.upper(), 1)

    def tokenize(self, model, text, adds_bos=False):
        """The ids of a text in which special tokens may stand; with the one that the file says is
        put before texts, if it does."""
        return json.loads(self.run("llama-tokenize", "-m", model, "--no-escape", "-p", text,
                                   "--ids", "--log-disable", *[] if adds_bos else ["--no-bos"])[0])

    def complete(self, model, prompt, num, *args):
        """The greedy answer to a prompt that a template has made."""
        out = self.whole("llama-completion", "-m", model, "-p", prompt, "-n", num, "-no-cnv",
                         "--no-display-prompt", *GREEDY, *EXACT, *args)
        return out.removesuffix("\n").removesuffix(END)

    def look(self, model, mmproj, image, question, num, *args):
        """The greedy answer to a question about an image, by the file's own template."""
        out = self.whole("llama-mtmd-cli", "-m", model, "--mmproj", mmproj, "--image", image, "-p",
                         question, "-n", num, "--jinja", *GREEDY, *EXACT, *args)
        return out.removeprefix("\n").removesuffix("\n")

    def bench(self, model):
        """Tokens a second of a prompt, and of generation."""
        rows = json.loads(self.run("llama-bench", "-m", model, "-p", 64, "-n", 16, "-r", 1, "-t",
                                   1, "-o", "json")[0])
        return [row["avg_ts"] for row in rows]
