---
dlm_id: 0FGS91P7WYX10WPF7VB9YPN0PD
dlm_version: 15
base_model: "gguf:base/base.gguf"
training:
  lora_r: 2
  lora_alpha: 4
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 0
  learning_rate: 0.001
  lr_scheduler: "constant"
  warmup_ratio: 0.0
  micro_batch_size: 2
  grad_accum: 2
---

::image path="images/one.png" alt="a drawing"::
what has detect

::instruction::
### Q
which colour the?
### A
many
### Q
image a?
### A
which a image

::prose::
The near there the is star describe two.

