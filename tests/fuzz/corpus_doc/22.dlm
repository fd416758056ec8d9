---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 4
base_model: hf:org/name
training:
  sequence_len: 512
  sources:
    - path: src
      include: ["**/*"]
      exclude: ["tests/**"]
      max_files: "3"
    - path: ../y
      include: ["**/*"]
      max_bytes_per_file: null
---

   
<!-- dlm-auto-harvest: source="a"b" -->
<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->
::preference::
::image   alt="q"  path="b"   ::
text with é
<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->
<!-- dlm-auto-harvest: source="run_1" -->
```
::preference::

