"""A user's program, which pyright holds to its strict rules: the public names have types that a person can rely on."""

from __future__ import annotations

import numpy as np
import torch

import unroll

lstm = unroll.LSTM(8, 16, num_layers=2, batch_first=True, forget_bias=1.0, layer_norm=True, input_dropout=0.1)
y, (h, c) = lstm(torch.randn(3, 7, 8), lengths=[7, 2, 5])
gru = unroll.GRU(8, 16, reset_after=False, init="orthogonal", backend="auto")
y_t, state = gru.step(torch.randn(3, 8))
used: str = lstm.used[0].backend

classifier = unroll.Classifier(hidden_size=32, recurrence="gru", pooling="last", max_length=None, random_state=0)
answers: np.ndarray = classifier.fit(["good", "bad"], ["+", "-"]).predict(["good"])
weighed = unroll.Classifier(class_weights={"+": 2.0, "-": 1}).fit(
    ["a"], ["+"], X_val=["b"], y_val=["+"], sample_weight=[1.0]
)
numbered: dict[int, float] = {0: 1.0, 1: 5.0}
weighed = unroll.Classifier(class_weights=numbered)
regressor = unroll.Regressor(epochs=3, conv_kernel_sizes=[3, 5], verbose=True)
tagger = unroll.Tagger(decoder="crf", characters="convolution")
tags: list[list[str]] = tagger.fit([["a"]], [["X"]], X_val=[["a"]], y_val=[["X"]]).predict([["a"]])
forecaster = unroll.Forecaster(target=["sold"], horizon=3, strategy="seq2seq")
language_model = unroll.LanguageModel(level="char", tie_weights=True)
again: unroll.Classifier = unroll.Classifier.load("runs/words")
predictor: unroll.Predictor = unroll.load("runs/words")
for answer in predictor.predict(["good"]):
    print(answer, repr(predictor), predictor.run)
