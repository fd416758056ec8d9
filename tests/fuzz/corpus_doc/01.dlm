---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 1
base_model: smollm2-135m
system_prompt: "one line"
---


```
::audio path="x.wav" transcript="hi"::
::prose::
```
```python
::preference::
::audio alt="b"::
### Q
::audio path="x.wav" transcript="hi"::
~~~
<!-- dlm-auto-mined: judge_name="j" judge_score_chosen="0.82" judge_score_rejected="1e-7" mined_at="2026-01-02" mined_run_id="7" -->
::prose::
<!-- dlm-auto-synth: synth_teacher="t" synth_strategy="s" synth_at="2026-01-02T03:04:05Z" source_section_id="0123456789abcdef" -->
```

