"""How good generated pictures are. Taught in notebooks/08_results.ipynb."""

from dcgan_lib.metrics.classifier import classify, load_classifier, split
from dcgan_lib.metrics.features import conv_features, fit_svm, svm_accuracy, svm_scores
from dcgan_lib.metrics.scores import class_fractions, detail, fid, measure, mode_coverage, nearest_neighbours, speckle
