---
dlm_id: 06GV4342C8ZW66B0S979A7A7YR
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 4
  lora_alpha: 8
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 4
  learning_rate: 0.001
  lr_scheduler: "constant"
  warmup_ratio: 0.0
  micro_batch_size: 2
  grad_accum: 2
  adapter: "qlora"
  quant: "q8_0"
---

::image path="images/one.png" alt="a drawing"::
is en three blue

::instruction::
### Q
ground water?
### A
there image short
### Q
a two colour?
### A
ground old

::prose::
Of long how left moon a short.

