"""Parameters of the estimators, for type checkers. Written by `docs/tools/make_parameters.py`: do not edit.

Longer than other files, since it lists every option once for each estimator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict


class ClassifierParameters(TypedDict, total=False):
    """Of `Classifier`."""

    class_weights: Literal["none", "balanced"] | Mapping[Any, float]
    label_smoothing: float
    preset: Literal["auto", "none"]
    level: Literal["word", "bpe", "char", "byte"]
    vocab_size: int
    min_freq: int
    normalize: Literal["none", "NFC", "NFKC"]
    lowercase: bool
    html: bool
    punctuation: Literal["split", "drop", "keep"]
    line_ends: bool
    standardize: bool
    max_length: int | None
    keep: Literal["auto", "head", "tail", "both"]
    embedding_dim: int
    embedding_dropout: float
    embedding_row_dropout: float
    word_dropout: float
    ngrams: int
    ngram_vocab_size: int
    input_projection: int
    conv_filters: int
    conv_kernel_sizes: tuple[int, ...] | list[int]
    conv_activation: Literal["relu", "tanh", "gelu"]
    conv_pool: int
    pooling: str
    pool_inputs: bool
    head_dropout: float
    recurrence: Literal["rnn", "lstm", "gru"]
    hidden_size: int
    num_layers: int
    last_hidden_size: int
    bidirectional: bool
    proj_size: int
    nonlinearity: Literal["tanh", "relu"]
    reset_after: bool
    dropout: float
    hidden_dropout: float
    input_dropout: float
    output_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    residual: bool
    layer_norm: bool
    init: Literal["torch", "orthogonal"]
    forget_bias: float | None
    chrono_init: int
    learn_initial_state: bool
    recompute: bool
    backend: str
    init_from: str
    trust_changed: bool
    batch_size: int
    bucket_batches: int
    validation_fraction: float
    refit: bool
    seed: int
    epochs: int
    max_steps: int
    max_time: str
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"]
    learning_rate: float
    momentum: float | None
    weight_decay: float
    layer_decay: float
    unfreeze_every: int
    schedule: Literal["constant", "step", "cosine", "warmup", "plateau", "onecycle"]
    warmup_share: float | None
    schedule_gamma: float | None
    schedule_every: int | None
    max_grad_norm: float
    max_grad_value: float
    patience: int
    min_delta: float
    monitor: str
    average: Literal["none", "ema", "asgd"]
    ema_decay: float | None
    average_patience: int | None
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    nodes: int
    checkpoint_every: int
    checkpoint_minutes: float
    tensorboard: bool
    threads: int
    random_state: int | None
    verbose: bool


class RegressorParameters(TypedDict, total=False):
    """Of `Regressor`."""

    preset: Literal["auto", "none"]
    level: Literal["word", "bpe", "char", "byte"]
    vocab_size: int
    min_freq: int
    normalize: Literal["none", "NFC", "NFKC"]
    lowercase: bool
    html: bool
    punctuation: Literal["split", "drop", "keep"]
    line_ends: bool
    standardize: bool
    max_length: int | None
    keep: Literal["auto", "head", "tail", "both"]
    embedding_dim: int
    embedding_dropout: float
    embedding_row_dropout: float
    word_dropout: float
    ngrams: int
    ngram_vocab_size: int
    input_projection: int
    conv_filters: int
    conv_kernel_sizes: tuple[int, ...] | list[int]
    conv_activation: Literal["relu", "tanh", "gelu"]
    conv_pool: int
    pooling: str
    pool_inputs: bool
    head_dropout: float
    recurrence: Literal["rnn", "lstm", "gru"]
    hidden_size: int
    num_layers: int
    last_hidden_size: int
    bidirectional: bool
    proj_size: int
    nonlinearity: Literal["tanh", "relu"]
    reset_after: bool
    dropout: float
    hidden_dropout: float
    input_dropout: float
    output_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    residual: bool
    layer_norm: bool
    init: Literal["torch", "orthogonal"]
    forget_bias: float | None
    chrono_init: int
    learn_initial_state: bool
    recompute: bool
    backend: str
    init_from: str
    trust_changed: bool
    batch_size: int
    bucket_batches: int
    validation_fraction: float
    refit: bool
    seed: int
    epochs: int
    max_steps: int
    max_time: str
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"]
    learning_rate: float
    momentum: float | None
    weight_decay: float
    layer_decay: float
    unfreeze_every: int
    schedule: Literal["constant", "step", "cosine", "warmup", "plateau", "onecycle"]
    warmup_share: float | None
    schedule_gamma: float | None
    schedule_every: int | None
    max_grad_norm: float
    max_grad_value: float
    patience: int
    min_delta: float
    monitor: str
    average: Literal["none", "ema", "asgd"]
    ema_decay: float | None
    average_patience: int | None
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    nodes: int
    checkpoint_every: int
    checkpoint_minutes: float
    tensorboard: bool
    threads: int
    random_state: int | None
    verbose: bool


class TaggerParameters(TypedDict, total=False):
    """Of `Tagger`."""

    tokenize: Literal["space", "words"]
    scheme: str
    convert: str
    vocab_size: int
    min_freq: int
    normalize: Literal["none", "NFC", "NFKC"]
    lowercase: bool
    vectors: str
    vector_words: int
    freeze_vectors: bool
    embedding_dim: int
    embedding_dropout: float
    embedding_row_dropout: float
    word_dropout: float
    characters: Literal["none", "recurrence", "convolution"]
    char_embedding_dim: int
    char_hidden_size: int
    char_kernel_size: int
    char_dropout: float
    head_dropout: float
    decoder: Literal["softmax", "crf"]
    recurrence: Literal["rnn", "lstm", "gru"]
    hidden_size: int
    num_layers: int
    last_hidden_size: int
    bidirectional: bool
    proj_size: int
    nonlinearity: Literal["tanh", "relu"]
    reset_after: bool
    dropout: float
    hidden_dropout: float
    input_dropout: float
    output_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    residual: bool
    layer_norm: bool
    init: Literal["torch", "orthogonal"]
    forget_bias: float | None
    chrono_init: int
    learn_initial_state: bool
    recompute: bool
    backend: str
    init_from: str
    trust_changed: bool
    batch_size: int
    bucket_batches: int
    validation_fraction: float
    refit: bool
    seed: int
    epochs: int
    max_steps: int
    max_time: str
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"]
    learning_rate: float
    momentum: float | None
    weight_decay: float
    layer_decay: float
    unfreeze_every: int
    schedule: Literal["constant", "step", "cosine", "warmup", "plateau", "onecycle"]
    warmup_share: float | None
    schedule_gamma: float | None
    schedule_every: int | None
    max_grad_norm: float
    max_grad_value: float
    patience: int
    min_delta: float
    monitor: str
    average: Literal["none", "ema", "asgd"]
    ema_decay: float | None
    average_patience: int | None
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    nodes: int
    checkpoint_every: int
    checkpoint_minutes: float
    tensorboard: bool
    threads: int
    random_state: int | None
    verbose: bool


class TranslatorParameters(TypedDict, total=False):
    """Of `Translator`."""

    joint_vocabulary: Literal["auto", "yes", "no"]
    max_length_ratio: float
    label_smoothing: float
    replace_unknown: bool
    preset: Literal["auto", "none"]
    baseline: Literal["auto", "none"]
    level: Literal["word", "bpe", "char", "byte"]
    vocab_size: int
    min_freq: int
    normalize: Literal["none", "NFC", "NFKC"]
    lowercase: bool
    html: bool
    punctuation: Literal["split", "drop", "keep"]
    line_ends: bool
    embedding_dim: int
    embedding_dropout: float
    embedding_row_dropout: float
    word_dropout: float
    recurrence: Literal["rnn", "lstm", "gru"]
    hidden_size: int
    num_layers: int
    last_hidden_size: int
    bidirectional: bool
    proj_size: int
    nonlinearity: Literal["tanh", "relu"]
    reset_after: bool
    dropout: float
    hidden_dropout: float
    input_dropout: float
    output_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    residual: bool
    layer_norm: bool
    init: Literal["torch", "orthogonal"]
    forget_bias: float | None
    chrono_init: int
    learn_initial_state: bool
    recompute: bool
    backend: str
    attention: Literal["additive", "dot", "general", "multihead"]
    attention_heads: int
    input_feeding: bool
    bridge: Literal["last", "mean", "zeros"]
    tie_weights: bool
    head_dropout: float
    copy: bool
    teacher_forcing: float
    coverage_loss: float
    beam: int
    length_penalty: float
    coverage_penalty: float
    min_new_tokens: int
    max_new_tokens: int
    n_best: int
    no_repeat_ngram: int
    batch_size: int
    bucket_batches: int
    validation_fraction: float
    refit: bool
    seed: int
    epochs: int
    max_steps: int
    max_time: str
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"]
    learning_rate: float
    momentum: float | None
    weight_decay: float
    layer_decay: float
    unfreeze_every: int
    schedule: Literal["constant", "step", "cosine", "warmup", "plateau", "onecycle"]
    warmup_share: float | None
    schedule_gamma: float | None
    schedule_every: int | None
    max_grad_norm: float
    max_grad_value: float
    patience: int
    min_delta: float
    monitor: str
    average: Literal["none", "ema", "asgd"]
    ema_decay: float | None
    average_patience: int | None
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    nodes: int
    checkpoint_every: int
    checkpoint_minutes: float
    tensorboard: bool
    threads: int
    random_state: int | None
    verbose: bool


class ForecasterParameters(TypedDict, total=False):
    """Of `Forecaster`."""

    time: str
    date_format: str
    time_zone: str
    series_id: str
    target: tuple[str, ...] | list[str]
    past_covariates: tuple[str, ...] | list[str]
    future_covariates: tuple[str, ...] | list[str]
    static_covariates: tuple[str, ...] | list[str]
    calendar: tuple[str, ...] | list[str]
    frequency: str
    gaps: Literal["error", "fill", "interpolate"]
    duplicates: Literal["error", "first", "last", "mean"]
    scaling: Literal["standard", "minmax", "none"]
    horizon: int
    lookback: int
    season: int
    stride: int
    valid_size: str
    preset: Literal["auto", "none"]
    baseline: Literal["auto", "none"]
    strategy: Literal["recursive", "direct", "seq2seq", "segrnn"]
    channels: Literal["auto", "mixed", "independent"]
    instance_norm: Literal["none", "last", "revin"]
    skip: Literal["none", "last", "seasonal", "linear"]
    segment: int
    attention: Literal["additive", "dot", "general", "multihead"]
    teacher_forcing: float
    output: Literal["point", "quantile", "normal", "student_t", "negative_binomial"]
    quantiles: tuple[float, ...] | list[float]
    intervals: Literal["auto", "model", "conformal"]
    loss: Literal["mse", "mae", "huber"]
    head_dropout: float
    paths: int
    recurrence: Literal["rnn", "lstm", "gru"]
    hidden_size: int
    num_layers: int
    last_hidden_size: int
    bidirectional: bool
    proj_size: int
    nonlinearity: Literal["tanh", "relu"]
    reset_after: bool
    dropout: float
    hidden_dropout: float
    input_dropout: float
    output_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    residual: bool
    layer_norm: bool
    init: Literal["torch", "orthogonal"]
    forget_bias: float | None
    chrono_init: int
    learn_initial_state: bool
    recompute: bool
    backend: str
    batch_size: int
    refit: bool
    seed: int
    epochs: int
    max_steps: int
    max_time: str
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"]
    learning_rate: float
    momentum: float | None
    weight_decay: float
    layer_decay: float
    unfreeze_every: int
    schedule: Literal["constant", "step", "cosine", "warmup", "plateau", "onecycle"]
    warmup_share: float | None
    schedule_gamma: float | None
    schedule_every: int | None
    max_grad_norm: float
    max_grad_value: float
    patience: int
    min_delta: float
    monitor: str
    average: Literal["none", "ema", "asgd"]
    ema_decay: float | None
    average_patience: int | None
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    nodes: int
    checkpoint_every: int
    checkpoint_minutes: float
    tensorboard: bool
    threads: int
    random_state: int | None
    verbose: bool


class LanguageModelParameters(TypedDict, total=False):
    """Of `LanguageModel`."""

    objective: Literal["causal", "masked"]
    mask_share: float | None
    bptt: int
    bptt_jitter: float
    reset_state: Literal["never", "row", "blank"]
    tie_weights: bool
    softmax: Literal["full", "adaptive"]
    cutoffs: tuple[int, ...] | list[int]
    head_dropout: float
    activation_penalty: float
    activation_slowness: float
    level: Literal["word", "bpe", "char", "byte"]
    vocab_size: int
    min_freq: int
    normalize: Literal["none", "NFC", "NFKC"]
    lowercase: bool
    html: bool
    punctuation: Literal["split", "drop", "keep"]
    line_ends: bool
    embedding_dim: int
    embedding_dropout: float
    embedding_row_dropout: float
    word_dropout: float
    recurrence: Literal["rnn", "lstm", "gru"]
    hidden_size: int
    num_layers: int
    last_hidden_size: int
    bidirectional: bool
    proj_size: int
    nonlinearity: Literal["tanh", "relu"]
    reset_after: bool
    dropout: float
    hidden_dropout: float
    input_dropout: float
    output_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    residual: bool
    layer_norm: bool
    init: Literal["torch", "orthogonal"]
    forget_bias: float | None
    chrono_init: int
    learn_initial_state: bool
    recompute: bool
    backend: str
    batch_size: int
    validation_fraction: float
    refit: bool
    seed: int
    epochs: int
    max_steps: int
    max_time: str
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"]
    learning_rate: float
    momentum: float | None
    weight_decay: float
    layer_decay: float
    unfreeze_every: int
    schedule: Literal["constant", "step", "cosine", "warmup", "plateau", "onecycle"]
    warmup_share: float | None
    schedule_gamma: float | None
    schedule_every: int | None
    max_grad_norm: float
    max_grad_value: float
    patience: int
    min_delta: float
    monitor: str
    average: Literal["none", "ema", "asgd"]
    ema_decay: float | None
    average_patience: int | None
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    nodes: int
    checkpoint_every: int
    checkpoint_minutes: float
    tensorboard: bool
    threads: int
    random_state: int | None
    verbose: bool
