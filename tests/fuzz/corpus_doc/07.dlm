---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: paligemma-3b-mix-224
training:
  num_epochs: 1
  grad_accum: auto
  sources_policy: strict
  preference:
    loss_type: ipo
    reference: base
    hyperparams:
      num_epochs: 1
      learning_rate: 0.0002
      alpha: 1
      beta: 0.3
    method: dpo
---
::a b::
<!-- dlm-auto-harvest: source="a"b" -->
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
::image path="a.png" alt="x y"::
<!-- dlm-auto-harvest: source="run_1" -->
::preference::

# Head

```python
# Head
::instruction::
```

