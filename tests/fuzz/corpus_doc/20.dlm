---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 10
base_model: hf:org/name
training:
  lora_r: 8
  sequence_len: 512
  grad_accum: 8
  gate: {}
  audio: {}
  adapters:
    facts: {}
    Bad:
      adapter: lora
      lora_r: 8
      learning_rate: 0.0002
system_prompt: "one line"
---
::preference::
::prose#a::
<!-- dlm-auto-harvest: source="run_1" -->
<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->

```python
::image   alt="q"  path="b"   ::
### Q
::image path="" ::
::audio path="x.wav" transcript="hi"::
::audio path="x.wav" transcript="hi"::
```

