"""The families whose goldens make_models_goldens.py makes and compare_models.py compares, a module
each. What a module has:

    SPECS               the committed cases: list of common.Spec or a class that derives from it
    MODEL               the class of transformers
    CAPTION             what a row with a caption asks
    ATTENTION, TOWER    target modules of the adapters of a case (a regular expression or a list):
                        without and with modules of tower and projector
    SEVERAL_IMAGES      True: one of the scores and answers is about both images
    write_files(folder, spec)        config.json's neighbours: tokenizer.json and its config,
                                     preprocessor_config.json, templates; returns the tokens by id
    make_config(spec, tokens)        the class of config.json
    rewrite_config(folder, spec)     config.json as transformers 5 has written it made as other
                                     versions do
    shape_noise(name, noise, tokens) a standard normal tensor made the parameter of that name
    disk_name(name, names)           the name on disk under the spelling spec.names
    Encoder(base)                    the family's processor over a checkpoint folder:
        prompt(question, images)     arguments of model.generate()
        conversation(messages, images)   the same of messages, up to the end of the last, whose
                                     answers are learned; a family without leaves it out
        row(row)                     (arguments of the model, which tokens are learned) of a
                                     models_reference.Row
        decode(ids)
    random_spec(seed)   a case with random sizes, types, names, adapters and schedule
"""
import importlib

NAMES = ["paligemma", "paligemma2", "qwen2_vl", "mistral3"]


def family(name):
    return importlib.import_module(f"families.{name}")
