"""Every method as a model of EleutherAI's lm-evaluation-harness (extra `lm-eval`).

The harness finds models of other packages only once they are imported, so its command is started
through this package; every option of `lm_eval` holds:

    trimtab lm-eval --model trimtab \
        --model_args method=nudging,base=zoo:a-large-base,guide=zoo:a-small-chat,threshold=0.4 \
        --tasks gsm8k --apply_chat_template --batch_size 16 --output_path out/nudging.json

`arguments` says what `--model_args` takes. From Python, `simple_evaluate(model=MethodLM(method))`
takes any method that is already there (`trimtab.lm_eval.harness_model`).
"""
