#!/usr/bin/env python3
"""Makes tests/golden/export/templates.json: the conversations that TEMPLATE of a Modelfile makes.

    tools/dev/make_modelfile_goldens.py [GO]

The templates are those of src/models/*_gguf.c. Each is run by Go's text/template with what ollama
gives it (Messages with Role and Content), and must make of every conversation what the chat
template of the golden base makes of it in Jinja, but for the token that llama.cpp puts before all;
an answer that is begun stays open. What is written is the template, by which the test knows that it
was run. Made with Go 1.19.8 (golang-go of Debian 12) and Jinja 3.1.6; no randomness.
"""

import ast
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import jinja2

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "golden" / "models"
PROGRAM = """package main

import (
    "encoding/json"
    "os"
    "text/template"
)

type message struct{ Role, Content string }

func main() {
    var in struct {
        Template string
        Messages []*message
    }
    if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
        panic(err)
    }
    t := template.Must(template.New("").Option("missingkey=zero").Parse(in.Template))
    if err := t.Execute(os.Stdout, map[string]any{"Messages": in.Messages, "System": ""}); err != nil {
        panic(err)
    }
}
"""
SYSTEM, USER, ANSWER = ("system", "Say\n\n little. "), ("user", " What\nis this? "), \
    ("assistant", "A {{ .Red }} square.\n")
CONVERSATIONS = [[USER], [SYSTEM, USER], [USER, ANSWER, USER], [SYSTEM, USER, ANSWER, USER],
                 [USER, ANSWER], [SYSTEM, USER, ANSWER, USER, ("assistant", "It")]]


def c_text(path, name):
    """The C string of that name."""
    found = re.search(r"static const char %s\[\] =((?:\s*\"(?:[^\"\\]|\\.)*\")+);" % name,
                      path.read_text())
    return ast.literal_eval("(" + found.group(1) + ")")


def jinja_template(family):
    base = MODELS / f"{family}_f32_old" / "base"
    if (base / "chat_template.jinja").exists():
        return (base / "chat_template.jinja").read_text()
    return json.loads((base / "chat_template.json").read_text())["chat_template"]


def with_jinja(text, messages, end):
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    is_open = messages[-1][0] == "assistant"
    out = env.from_string(text).render(
        messages=[{"role": role, "content": content} for role, content in messages],
        bos_token="", eos_token="</s>", add_generation_prompt=not is_open)
    if is_open:
        assert out.endswith(end)
        out = out[:-len(end)]
    return out


def main():
    go = sys.argv[1] if len(sys.argv) > 1 else "go"
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "run.go"
        source.write_text(PROGRAM)
        subprocess.run([go, "build", "-o", f"{folder}/run", str(source)], check=True)
        for family, end in (("qwen2_vl", "<|im_end|>\n"), ("mistral3", "</s>")):
            template = c_text(ROOT / "src" / "models" / f"{family}_gguf.c", "chat")
            for messages in CONVERSATIONS:
                given = {"Template": template,
                         "Messages": [{"Role": r, "Content": c} for r, c in messages]}
                got = subprocess.run([f"{folder}/run"], input=json.dumps(given).encode(),
                                     stdout=subprocess.PIPE, check=True).stdout.decode()
                want = with_jinja(jinja_template(family), messages, end)
                assert got == want, f"{family} {messages}\n{got!r}\n{want!r}"
            made[family] = template
    path = ROOT / "tests" / "golden" / "export" / "templates.json"
    path.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")


main()
