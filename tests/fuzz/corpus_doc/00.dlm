---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 7
base_model: hf:org/name
training:
  sources_policy: strict
  sequence_len: 512
  lora_alpha: 16
  lora_dropout: "0.2"
  num_epochs: 1
  preference:
    method: dpo
---

﻿bom
	

::audio path="x.wav" transcript="hi"::

# Head
﻿bom
	
::audio path="x.wav" transcript="hi"::
::a b::
::image path="a\"b"::
<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->
a b
::image path="a.png" alt="x y"::