#include "results/statistics/distributions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"

namespace assay::results::statistics {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw_internal(std::string("statistics: ") + what);
}

// The continued fraction of I_x(a, b), which converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  // Needs O(sqrt(max(a, b))) terms; 100,000 serve a, b up to 1e9.
  constexpr int kMostTerms = 100000;
  double c = 1;
  double d = 1 - (a + b) * x / (a + 1);
  if (std::fabs(d) < kTiny) d = kTiny;
  d = 1 / d;
  double fraction = d;
  for (int m = 1; m <= kMostTerms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 + even * d;
    if (std::fabs(d) < kTiny) d = kTiny;
    c = 1 + even / c;
    if (std::fabs(c) < kTiny) c = kTiny;
    d = 1 / d;
    fraction *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + odd * d;
    if (std::fabs(d) < kTiny) d = kTiny;
    c = 1 + odd / c;
    if (std::fabs(c) < kTiny) c = kTiny;
    d = 1 / d;
    const double step = d * c;
    fraction *= step;
    if (std::fabs(step - 1) <= kEpsilon) return fraction;
  }
  throw_internal("statistics: the incomplete beta function did not converge");
}

// log B(a, b). lgamma loses digits in the difference of large values; there, Stirling's series of
// the three logarithms is combined first (DLMF 5.11.1).
double stirling_rest(double x) {
  const double inverse = 1 / x, square = inverse * inverse;
  return inverse * (1.0 / 12 - square * (1.0 / 360 - square * (1.0 / 1260 - square / 1680)));
}

double log_beta(double a, double b) {
  if (a < b) std::swap(a, b);  // a >= b
  if (a < 20) return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
  const double rest_a = stirling_rest(a), rest_sum = stirling_rest(a + b);
  // log Γ(a) - log Γ(a + b), without cancellation
  const double ratio = (a - 0.5) * -std::log1p(b / a) - b * std::log(a + b) + b + rest_a - rest_sum;
  if (b < 20) return ratio + std::lgamma(b);
  return ratio + (b - 0.5) * std::log(b) - b + 0.5 * std::log(2 * std::numbers::pi) +
         stirling_rest(b);
}

}  // namespace

double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

double normal_quantile(double p) {
  require(p > 0 && p < 1, "a probability strictly between 0 and 1 is needed");
  // The lower half, where erfc keeps relative precision.
  if (p > 0.5) return -normal_quantile(1 - p);
  // Coefficients of P. J. Acklam's approximation, relative error 1.2e-9.
  constexpr double kA[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                           1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double kB[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                           6.680131188771972e+01, -1.328068155288572e+01};
  constexpr double kC[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                           -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double kD[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                           3.754408661907416e+00};
  double z;
  if (p < 0.02425) {
    const double q = std::sqrt(-2 * std::log(p));
    z = (((((kC[0] * q + kC[1]) * q + kC[2]) * q + kC[3]) * q + kC[4]) * q + kC[5]) /
        ((((kD[0] * q + kD[1]) * q + kD[2]) * q + kD[3]) * q + 1);
  } else {
    const double q = p - 0.5, r = q * q;
    z = (((((kA[0] * r + kA[1]) * r + kA[2]) * r + kA[3]) * r + kA[4]) * r + kA[5]) * q /
        (((((kB[0] * r + kB[1]) * r + kB[2]) * r + kB[3]) * r + kB[4]) * r + 1);
  }
  for (int step = 0; step < 2; ++step) {
    const double error = normal_cdf(z) - p;
    const double u = error * std::sqrt(2 * std::numbers::pi) * std::exp(z * z / 2);
    z -= u / (1 + z * u / 2);
  }
  return z;
}

double incomplete_beta(double a, double b, double x) {
  require(a > 0 && b > 0 && x >= 0 && x <= 1, "incomplete beta outside its domain");
  if (x == 0 || x == 1) return x;
  const double front = std::exp(a * std::log(x) + b * std::log1p(-x) - log_beta(a, b));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double student_cdf(double t, double df) {
  require(df > 0, "degrees of freedom must be positive");
  // The two forms of the same tail; each is precise where the other loses digits.
  const double square = t * t;
  const double tail = square < 1 ? 0.5 * (1 - incomplete_beta(0.5, df / 2, square / (df + square)))
                                 : 0.5 * incomplete_beta(df / 2, 0.5, df / (df + square));
  return t > 0 ? 1 - tail : tail;
}

double student_quantile(double p, double df) {
  require(p > 0 && p < 1, "a probability strictly between 0 and 1 is needed");
  require(df > 0, "degrees of freedom must be positive");
  if (p == 0.5) return 0;
  if (p > 0.5) return -student_quantile(1 - p, df);
  // The quantile lies left of the normal one; go left until it is bracketed.
  double high = 0, low = std::min(normal_quantile(p), -1.0);
  while (student_cdf(low, df) > p) {
    high = low;
    low *= 2;
  }
  const double log_scale = -log_beta(df / 2, 0.5) - 0.5 * std::log(df);
  double t = 0.5 * (low + high);
  for (int step = 0; step < 200; ++step) {
    const double error = student_cdf(t, df) - p;
    (error > 0 ? high : low) = t;
    const double density = std::exp(log_scale - (df + 1) / 2 * std::log1p(t * t / df));
    double next = t - error / density;
    if (!(next > low && next < high)) next = 0.5 * (low + high);
    if (std::fabs(next - t) <= 4 * std::numeric_limits<double>::epsilon() * std::fabs(next))
      return next;
    t = next;
  }
  return t;
}

double binomial_cdf(int64_t k, int64_t n, double p) {
  require(n >= 0 && k >= 0 && k <= n && p >= 0 && p <= 1, "binomial outside its domain");
  if (k == n) return 1;
  return incomplete_beta(static_cast<double>(n - k), static_cast<double>(k + 1), 1 - p);
}

double fair_binomial_two_sided(int64_t k, int64_t n) {
  require(n >= 0 && k >= 0 && k <= n, "binomial outside its domain");
  const int64_t smaller = std::min(k, n - k);
  return std::min(1.0, 2 * binomial_cdf(smaller, n, 0.5));
}

}  // namespace assay::results::statistics
