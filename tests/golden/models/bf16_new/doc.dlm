---
dlm_id: 0AFG6TA0WNTAT4FJVTK3J618NV
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 5
  lora_alpha: 9
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 0
  learning_rate: 0.001
  lr_scheduler: "cosine"
  warmup_ratio: 0.1
  micro_batch_size: 2
  grad_accum: 3
---

::image path="images/one.png" alt="a drawing"::
left describe en

::instruction::
### Q
star large en a?
### A
image caption
### Q
segment house?
### A
shapes

::prose::
House en small en detect the moon.

::instruction::
### Q
describe answer?
### A
of are square

::image path="images/two.png" alt="a drawing"::
green on en what are

