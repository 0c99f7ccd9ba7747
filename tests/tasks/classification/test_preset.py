from __future__ import annotations

import pytest

import unroll
from unroll.models.options import ModelOptions
from unroll.tasks.base import DataPaths
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.classification.preset import choose_options
from unroll.tasks.train import train_from_files

SHORT, LONG = ["where is my card, please"] * 50, ["a long story " * 60] * 50


def chosen(given, inputs=SHORT, rows=9000, labels=3):
    settings, text = ClassificationSettings.from_flat(given), isinstance(inputs[0], str)
    resolved, lines = choose_options(settings, inputs, rows, text=text, labels=labels)
    return resolved.flat(), lines


def test_short_texts_are_read_by_character():
    flat, lines = chosen({})
    expected = {"level": "char", "ngrams": 5, "min_freq": 1, "bidirectional": True, "hidden_size": 64, "epochs": 15}
    assert {name: flat[name] for name in expected} == expected
    assert lines[0] == "chosen for 9,000 texts of 24 characters (--preset none keeps the defaults):"
    assert "level 'char'" in " ".join(line.strip() for line in lines[1:])
    assert max(map(len, lines)) <= 100


def test_long_texts_are_read_by_word():
    flat, lines = chosen({}, LONG)
    assert (flat["level"], flat["ngrams"], flat["word_dropout"], flat["epochs"]) == ("word", 2, 0.2, 8)
    assert "of 780 characters" in lines[0]
    assert flat["max_length"] is None


def test_words_and_names_and_many_labels_differ():
    flat, _ = chosen({}, ["Ivanova"] * 50, labels=80)
    assert (flat["conv_pool"], flat["conv_kernel_sizes"], flat["word_dropout"], flat["epochs"]) == (1, [3], 0.1, 6)
    flat, _ = chosen({}, labels=50)
    assert (flat["embedding_dim"], flat["head_dropout"], flat["epochs"], flat["conv_pool"]) == (128, 0.5, 25, 4)
    assert chosen({}, labels=49)[0]["embedding_dim"] == 64
    assert chosen({}, LONG, labels=80)[0]["embedding_dim"] == 64
    flat, _ = chosen({"keep": "head"}, LONG, rows=22_500)
    assert (flat["learning_rate"], flat["max_length"], flat["keep"], flat["epochs"]) == (0.001, 500, "head", 6)


@pytest.mark.parametrize(("rows", "epochs"), [(1000, 15), (9388, 15), (14080, 10), (70400, 2), (2_000_000, 2)])
def test_passes_become_fewer_with_more_rows(rows, epochs):
    assert chosen({}, rows=rows)[0]["epochs"] == epochs


def test_numeric_sequences_get_a_convolution_and_few_of_them_a_second_training():
    flat, lines = chosen({}, [[0.5, 1.5] * 75] * 50, rows=50)
    expected = {
        "conv_filters": 64, "conv_kernel_sizes": [7], "conv_pool": 2, "bidirectional": True, "pooling": "mean+max",
        "batch_size": 16, "epochs": 320, "refit": True, "schedule": "cosine", "pool_inputs": False,
    }  # fmt: skip
    assert {name: flat[name] for name in expected} == expected
    assert lines[0] == "chosen for 50 sequences of 150 steps (--preset none keeps the defaults):"
    flat, _ = chosen({}, [[0.5] * 1000] * 50, rows=8000)
    assert (flat["batch_size"], flat["epochs"], flat["refit"], flat["conv_pool"]) == (64, 8, False, 4)
    assert chosen({}, [[0.5] * 8] * 50, rows=300)[0]["conv_pool"] == 1
    assert chosen({}, [[0.5] * 8] * 19, rows=19)[1] == []
    assert chosen({"validation_fraction": 0.0}, [[0.5] * 8] * 50, rows=50)[0]["refit"] is False


@pytest.mark.parametrize(("given", "rows"), [({}, 999), ({"preset": "none"}, 9000)], ids=["few rows", "none"])
def test_defaults_stay(given, rows):
    flat, lines = chosen(given, rows=rows)
    assert lines == []
    assert flat == ClassificationSettings.from_flat(given).flat()


def test_what_was_given_stays():
    given = {"level": "word", "epochs": 3, "hidden_size": 10, "learning_rate": 0.5, "bidirectional": False}
    flat, lines = chosen(given)
    assert {name: flat[name] for name in given} == given
    assert flat["ngrams"] == 2
    told = " ".join(lines)
    assert not any(f" {name} " in told for name in given)
    everything = ClassificationSettings().flat()
    assert chosen(everything) == (everything, [])


def test_settings_that_were_made_by_hand_stay():
    settings = ClassificationSettings(model=ModelOptions(pooling="mean"))
    resolved, _ = choose_options(settings, SHORT, 9000, text=True, labels=2)
    assert (resolved.model.pooling, resolved.text.level) == ("mean", "char")


def test_what_does_not_go_with_what_was_given_is_not_chosen():
    standard = ClassificationSettings().flat()

    def same(given, *names, **more):
        flat, _ = chosen(given, **more)
        assert {name: flat[name] for name in names} == {name: standard[name] for name in names}

    same({"optimizer": "sgd"}, "learning_rate", "weight_decay")
    same({"optimizer": "adam"}, "weight_decay")
    same({"recurrence": "rnn"}, "forget_bias")
    same({"chrono_init": 50}, "forget_bias")
    same({"average": "none"}, "ema_decay")
    same({"conv_filters": 0}, "conv_pool", "conv_kernel_sizes")
    same({}, "label_smoothing", labels=0)
    assert chosen({"batch_size": 8}, rows=9000)[0]["epochs"] == 2
    assert chosen({"level": "bpe"})[0]["ngrams"] == 2
    assert chosen({"level": "byte"})[0]["ngrams"] == 5
    many = ["".join(chr(0x4E00 + (37 * i + 11 * k) % 3000) for k in range(20)) for i in range(100)]
    assert chosen({}, many)[0]["ngrams"] == 2


@pytest.mark.slow
def test_the_estimator_says_what_it_chose_and_the_run_keeps_it(tmp_path, capsys):
    texts = [f"{word} number {i}" for i in range(600) for word in ("good", "bad")]
    labels = ["+", "-"] * 600
    clf = unroll.Classifier(verbose=True, epochs=4, hidden_size=8, ngram_vocab_size=100, threads=1).fit(texts, labels)
    out = capsys.readouterr().out
    assert "chosen for 1,080 texts of 14 characters" in out
    settings = clf.task_.settings
    assert (settings.text.level, settings.recurrent.hidden_size, settings.training.epochs) == ("char", 8, 4)
    assert settings.classification.label_smoothing == 0.1
    again = unroll.load(clf.save(tmp_path / "run")).task.settings
    assert again.flat() == settings.flat()
    assert choose_options(again, texts, len(texts), text=True, labels=2)[1] == []
    assert clf.score(texts, labels) == 1.0


@pytest.mark.slow
def test_what_looks_wrong_is_said_with_a_remedy(tmp_path):
    def notes(rows, **options):
        (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
        settings = ClassificationSettings.from_flat({"hidden_size": 4, "threads": 1, "baseline": "none", **options})
        said: list[str] = []
        data = DataPaths([str(tmp_path / "a.csv")])
        train_from_files("classification", data, settings, tmp_path / "r", say=said.append, overwrite=True)
        return [line.removeprefix("note: ") for line in said if line.startswith("note: ")]

    new = [f"word{i} word{i + 500} word{i + 1000} film,{'ab'[i % 2]}" for i in range(200)]
    assert notes(new, epochs=1, batch_size=1) == ["75% of the validation tokens are unknown; try --level char"]
    assert notes(["good film,a", "bad film,b"] * 100, epochs=2) == [
        "6 steps an epoch, 12 in all, are few; try more --epochs, or --batch-size 3"
    ]
    numbers = [f"film {i % 3},{i // 2 / 10}" for i in range(100)]
    assert notes(numbers, epochs=2, batch_size=1)[-1] == (
        "50 labels in 90 rows; if they are numbers to predict, take `unroll fit regression`"
    )
