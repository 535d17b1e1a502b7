"""Writes scipy_values.json: expected values for statistics_test.cpp, by an independent library.

Obtained with Python 3.11, scipy and statsmodels from PyPI in a scratch virtual environment:
    python3 scipy_values.py > scipy_values.json
The program and its build never run this; the values are checked in.
"""
import json
import sys

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

out = {"scipy": scipy.__version__, "statsmodels": statsmodels.__version__}

ps = [1e-300, 1e-20, 1e-9, 1e-5, 0.001, 0.01, 0.024, 0.025, 0.1, 0.3, 0.5, 0.6, 0.8, 0.975, 0.999]
out["normal_quantile"] = [[p, float(stats.norm.ppf(p))] for p in ps]
out["normal_cdf"] = [[z, float(stats.norm.cdf(z))] for z in (-37.0, -8.0, -3.0, -1.0, 0.0, 0.5, 2.0, 6.0)]
dfs = [1, 2, 3, 4.5, 10, 56, 123.4, 1000, 14041, 214669]
out["student_cdf"] = [[t, df, float(stats.t.cdf(t, df))]
                      for df in dfs for t in (-40.0, -6.0, -2.0, -0.3, -1e-4, 0.7, 1.96, 3.0)]
out["student_quantile"] = [[p, df, float(stats.t.ppf(p, df))]
                           for df in dfs for p in (1e-6, 0.005, 0.025, 0.2, 0.45, 0.9, 0.975, 0.9995)]
out["incomplete_beta"] = [[a, b, x, float(scipy.special.betainc(a, b, x))]
                          for a, b in ((0.5, 0.5), (1, 3), (2.5, 7), (30, 0.5), (19, 21), (300, 20),
                                       (7000, 7100), (120000, 90000))
                          for x in (1e-6, 0.01, 0.3, 0.497, 0.57, 0.9, 0.999)]
out["mcnemar"] = [[b, c, float(stats.binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0]
                  for b, c in ((0, 0), (0, 1), (1, 0), (0, 6), (3, 9), (10, 10), (10, 11), (55, 83), (400, 520),
                               (1500, 1702), (20000, 20500))]
out["wilson"] = [[k, n, *map(float, proportion_confint(k, n, 0.05, "wilson"))]
                 for k, n in ((0, 1), (1, 1), (0, 20), (20, 20), (3, 17), (82, 164), (160, 164), (7021, 14042),
                              (1, 14042))]
p = [0.0004, 0.04, 0.041, 0.3, 0.9, 0.012, 0.012, 1.0, 0.0000001, 0.06]
out["p_values"] = p
out["holm"] = multipletests(p, method="holm")[1].tolist()
out["benjamini_hochberg"] = multipletests(p, method="fdr_bh")[1].tolist()

# Means with clustered errors. Data: a fixed formula, written out so that both sides have the bits.
rng = np.random.default_rng(5)
n = 90
cluster = np.sort(rng.integers(0, 30, n))
group = cluster // 6
x = np.round(rng.random(n), 3)
w = np.round(rng.random(n) * 1000 + 1)
out["data"] = {"x": x.tolist(), "w": w.tolist(), "cluster": cluster.tolist(), "group": group.tolist()}


def ratio(x, w, cluster):
    """Weighted mean and its cluster-robust error, as regression on a constant (HC0 over clusters
    with the G/(G-1) factor: statsmodels' use_correction multiplies by G/(G-1) * (n-1)/(n-k), k=1)."""
    fit = sm.WLS(x, np.ones_like(x), weights=w).fit(cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": True})
    return [float(fit.params[0]), float(fit.bse[0])]


out["mean_independent"] = [float(x.mean()), float(stats.sem(x))]
out["student_interval"] = [float(v) for v in stats.t.interval(0.95, n - 1, x.mean(), stats.sem(x))]
out["mean_clustered"] = ratio(x, np.ones(n), cluster)
out["mean_weighted_clustered"] = ratio(x, w, cluster)
ks = sorted(set(group.tolist()))
means = [x[group == k].mean() for k in ks]
sems = [stats.sem(x[group == k]) for k in ks]
out["macro_independent"] = [float(np.mean(means)), float(np.sqrt(np.sum(np.square(sems))) / len(ks))]
csems = [ratio(x[group == k], np.ones((group == k).sum()), cluster[group == k])[1] for k in ks]
out["macro_clustered"] = [float(np.mean(means)), float(np.sqrt(np.sum(np.square(csems))) / len(ks))]

# Bootstrap: a Monte Carlo reference with another generator and 200,000 resamples.
d = np.round(rng.normal(0.02, 0.3, n), 3)
out["difference"] = d.tolist()
sums = np.array([d[cluster == c].sum() for c in np.unique(cluster)])
sizes = np.array([(cluster == c).sum() for c in np.unique(cluster)])
draw = rng.integers(0, len(sums), (200000, len(sums)))
boot = sums[draw].sum(1) / sizes[draw].sum(1)
out["bootstrap_interval"] = [float(v) for v in np.quantile(boot, [0.025, 0.975])]
out["bootstrap_p"] = float(2 * min((boot <= 0).mean(), (boot >= 0).mean()))
out["mde"] = [0.01, float((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.01)]
json.dump(out, sys.stdout, indent=0)
