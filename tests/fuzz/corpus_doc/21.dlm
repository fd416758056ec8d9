---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: smollm2-135m
training:
  learning_rate: 1.0e-5
  precision: bf16
  lr_scheduler: linear
  sequence_len: 512
  audio: {}
  adapters:
    null:
      lora_alpha: 16
  sources:
    - path: ~/x
      include: x
      max_files: null
      max_bytes_per_file: null
system_prompt: "one line"
---


<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->
::image path="a\"b"::
```python
  ::instruction::
  ::instruction::
### Q
```python
```
### A
<!-- dlm-auto-harvest: source="a"b" -->
What?
### Q

<!-- dlm-auto-harvest: source="a"b" -->
```