#include "lbfgs.hpp"

namespace splat2d {

namespace {

constexpr float kFirstStep = 0.1f;        // along the gradient, before there is a pair
constexpr double kLeastCurvature = 1e-6;  // <s, y> over <y, y>

}  // namespace

Array<float> gathered(const Device& device, const Array<float>& from, const Array<int>& rows, int width) {
  Array<float> out(rows.size() * width);
  const float* in = from.data();
  const int* row = rows.data();
  float* to = out.data();
  device.for_each(static_cast<int64_t>(rows.size()), [=] SPLAT2D_LOOP(int64_t i) {
    for (int c = 0; c < width; ++c) to[i * width + c] = in[static_cast<int64_t>(row[i]) * width + c];
  });
  return out;
}

void Lbfgs::direction(const Array<float>& gradient, Array<float>* out) const {
  const size_t m = pairs_.size();
  Device::Vectors wanted;
  for (const Pair& p : pairs_) wanted.push_back({p.s.data(), gradient.data()});
  for (const Pair& p : pairs_) wanted.push_back({p.y.data(), gradient.data()});
  const std::vector<double> products = device_.dots(wanted, gradient.size());
  // The direction is g * gradient + sum_i a_i s_i + b_i y_i.
  double g = -1;
  std::vector<double> a(m, 0.0), b(m, 0.0), alpha(m);
  for (size_t i = m; i-- > 0;) {
    double dot = g * products[i];
    for (size_t j = i + 1; j < m; ++j) dot += b[j] * sy_[i][j];
    alpha[i] = dot / sy_[i][i];
    b[i] = -alpha[i];
  }
  const double scale = m ? sy_[m - 1][m - 1] / yy_[m - 1][m - 1] : kFirstStep;
  g *= scale;
  for (double& v : b) v *= scale;
  for (size_t i = 0; i < m; ++i) {
    double dot = g * products[m + i];
    for (size_t j = 0; j < m; ++j) dot += b[j] * yy_[i][j];
    for (size_t j = 0; j < i; ++j) dot += a[j] * sy_[j][i];
    a[i] = alpha[i] - dot / sy_[i][i];
  }
  std::vector<const float*> vectors{gradient.data()};
  std::vector<float> factors{static_cast<float>(g)};
  for (size_t i = 0; i < m; ++i) {
    vectors.insert(vectors.end(), {pairs_[i].s.data(), pairs_[i].y.data()});
    factors.insert(factors.end(), {static_cast<float>(a[i]), static_cast<float>(b[i])});
  }
  out->resize(gradient.size());
  device_.combine(vectors, factors, gradient.size(), out->data());
}

void Lbfgs::multiply(size_t first) {
  const size_t m = pairs_.size();
  sy_.resize(m);
  yy_.resize(m);
  Device::Vectors wanted;
  for (size_t i = first; i < m; ++i)
    for (size_t j = 0; j <= i; ++j) {
      wanted.push_back({pairs_[i].s.data(), pairs_[j].y.data()});
      wanted.push_back({pairs_[j].s.data(), pairs_[i].y.data()});
      wanted.push_back({pairs_[i].y.data(), pairs_[j].y.data()});
    }
  const std::vector<double> products = device_.dots(wanted, m ? pairs_[0].s.size() : 0);
  for (size_t i = 0; i < m; ++i) {
    sy_[i].resize(m);
    yy_[i].resize(m);
  }
  auto product = products.begin();
  for (size_t i = first; i < m; ++i)
    for (size_t j = 0; j <= i; ++j) {
      sy_[i][j] = *product++;
      sy_[j][i] = *product++;
      yy_[i][j] = yy_[j][i] = *product++;
    }
}

void Lbfgs::push(Array<float> step, Array<float> change) {
  pairs_.push_back({std::move(step), std::move(change)});
  multiply(pairs_.size() - 1);
  if (!curved(pairs_.size() - 1, kLeastCurvature))
    drop(pairs_.size() - 1);
  else if (pairs_.size() > memory_)
    drop(0);
}

void Lbfgs::drop(size_t pair) {
  const auto erase = [pair](auto& v) { v.erase(v.begin() + static_cast<std::ptrdiff_t>(pair)); };
  erase(pairs_);
  for (auto* matrix : {&sy_, &yy_}) {
    erase(*matrix);
    for (auto& row : *matrix) erase(row);
  }
}

void Lbfgs::clear() {
  pairs_.clear();
  sy_.clear();
  yy_.clear();
}

void Lbfgs::gather(const Array<int>& rows, int width) {
  for (Pair& p : pairs_) {
    p.s = gathered(device_, p.s, rows, width);
    p.y = gathered(device_, p.y, rows, width);
  }
  multiply(0);
  for (size_t i = pairs_.size(); i-- > 0;)
    if (!curved(i, kLeastCurvature)) drop(i);
}

void Lbfgs::extend(size_t size) {
  for (Pair& p : pairs_) {
    p.s.resize(size);
    p.y.resize(size);
  }
}

}  // namespace splat2d
