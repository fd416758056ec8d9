---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: b
system_prompt: "a\n\n"
training: {adapters: {"on": {}, tone: {target_modules: ["1", 'a,b']}}}
---
::preference::
### Prompt
a
### Chosen
b
### Rejected
c
