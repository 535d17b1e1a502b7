// Normal, Student and binomial probabilities and their quantiles, to 1e-12 relative and better.
//
// Pure functions, equal on every machine with IEEE doubles up to the last bits of libm. Arguments
// outside the domain are internal errors.
#pragma once

#include <cstdint>

namespace assay::results::statistics {

// P(Z <= z) of the standard normal.
double normal_cdf(double z);
// z with P(Z <= z) = p, 0 < p < 1. Acklam's rational start, two Halley steps on erfc.
double normal_quantile(double p);

// I_x(a, b), the regularised incomplete beta function; a, b > 0, 0 <= x <= 1. Lentz's evaluation of
// the continued fraction (DLMF 8.17.22).
double incomplete_beta(double a, double b, double x);

// P(T <= t) of Student's distribution with `df` > 0 degrees of freedom (need not be whole).
double student_cdf(double t, double df);
// t with P(T <= t) = p. Bisection-guarded Newton on student_cdf.
double student_quantile(double p, double df);

// P(X <= k) of Binomial(n, p); 0 <= k <= n.
double binomial_cdf(int64_t k, int64_t n, double p);

// Exact two-sided p-value of k successes in n fair coin flips: twice the smaller tail, at most 1.
double fair_binomial_two_sided(int64_t k, int64_t n);

}  // namespace assay::results::statistics
