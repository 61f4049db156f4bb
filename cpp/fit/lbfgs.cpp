#include "fit/lbfgs.hpp"

#include <utility>

namespace splat2d {

namespace {

constexpr float kFirstStep = 0.1f;        // along the gradient, before there is a pair
constexpr double kLeastCurvature = 1e-6;  // <s, y> over <y, y>

}  // namespace

Array<float> gathered(const Device& device, const Array<float>& from, const Array<int>& rows, int width) {
  Array<float> out = Array<float>::unset(rows.size() * width);
  const float* in = from.data();
  const int* row = rows.data();
  float* to = out.data();
  device.for_each(static_cast<int64_t>(rows.size()), [=] SPLAT2D_LOOP(int64_t i) {
    for (int c = 0; c < width; ++c) to[i * width + c] = in[static_cast<int64_t>(row[i]) * width + c];
  });
  return out;
}

void Lbfgs::direction(const Array<float>& gradient, Array<float>* out) {
  const size_t m = pairs_.size();
  if (!known_) {
    Device::Vectors wanted;
    for (const Pair& p : pairs_) wanted.push_back({p.s.data(), gradient.data()});
    for (const Pair& p : pairs_) wanted.push_back({p.y.data(), gradient.data()});
    Numbers products(2 * m);
    device_.dots(wanted, gradient.size(), products.at(0));
    products.fetch();
    sg_.assign(products.data(), products.data() + m);
    yg_.assign(products.data() + m, products.data() + 2 * m);
    known_ = true;
  }
  // The direction is g * gradient + sum_i a_i s_i + b_i y_i.
  double g = -1;
  std::vector<double> a(m, 0.0), b(m, 0.0), alpha(m);
  for (size_t i = m; i-- > 0;) {
    double dot = g * sg_[i];
    for (size_t j = i + 1; j < m; ++j) dot += b[j] * sy_[i][j];
    alpha[i] = dot / sy_[i][i];
    b[i] = -alpha[i];
  }
  const double scale = m ? sy_[m - 1][m - 1] / yy_[m - 1][m - 1] : kFirstStep;
  g *= scale;
  for (double& v : b) v *= scale;
  for (size_t i = 0; i < m; ++i) {
    double dot = g * yg_[i];
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

void Lbfgs::propose(const Array<float>& direction, float t, const Array<float>& before, const Array<float>& after,
                    double* products) {
  const size_t size = direction.size();
  next_.s.resize(size);
  next_.y.resize(size);
  const float *d = direction.data(), *g = before.data(), *to = after.data();
  float *s = next_.s.data(), *y = next_.y.data();
  device_.for_each(static_cast<int64_t>(size), [=] SPLAT2D_LOOP(int64_t i) {
    s[i] = t * d[i];
    y[i] = to[i] - g[i];
  });
  Device::Vectors wanted;
  for (const Pair& p : pairs_) wanted.insert(wanted.end(), {{s, p.y.data()}, {p.s.data(), y}, {y, p.y.data()}});
  wanted.push_back({s, y});
  wanted.push_back({y, y});
  for (const Pair& p : pairs_) wanted.push_back({p.s.data(), to});
  wanted.push_back({s, to});
  for (const Pair& p : pairs_) wanted.push_back({p.y.data(), to});
  wanted.push_back({y, to});
  device_.dots(wanted, size, products);
}

void Lbfgs::take(const double* products) {
  const size_t m = pairs_.size();
  pairs_.push_back(std::move(next_));
  next_ = {};
  sy_.resize(m + 1);
  yy_.resize(m + 1);
  for (size_t i = 0; i <= m; ++i) {
    sy_[i].resize(m + 1);
    yy_[i].resize(m + 1);
  }
  for (size_t i = 0; i < m; ++i) {
    sy_[m][i] = *products++;
    sy_[i][m] = *products++;
    yy_[m][i] = yy_[i][m] = *products++;
  }
  sy_[m][m] = *products++;
  yy_[m][m] = *products++;
  sg_.assign(products, products + m + 1);
  yg_.assign(products + m + 1, products + 2 * (m + 1));
  known_ = true;
  if (!curved(m, kLeastCurvature))
    drop(m);
  else if (m + 1 > memory_)
    drop(0);
}

void Lbfgs::multiply() {
  const size_t m = pairs_.size();
  Device::Vectors wanted;
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j <= i; ++j) {
      wanted.push_back({pairs_[i].s.data(), pairs_[j].y.data()});
      wanted.push_back({pairs_[j].s.data(), pairs_[i].y.data()});
      wanted.push_back({pairs_[i].y.data(), pairs_[j].y.data()});
    }
  Numbers products(wanted.size());
  device_.dots(wanted, m ? pairs_[0].s.size() : 0, products.at(0));
  products.fetch();
  const double* product = products.data();
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j <= i; ++j) {
      sy_[i][j] = *product++;
      sy_[j][i] = *product++;
      yy_[i][j] = yy_[j][i] = *product++;
    }
}

void Lbfgs::drop(size_t pair) {
  const auto erase = [pair](auto& v) { v.erase(v.begin() + static_cast<std::ptrdiff_t>(pair)); };
  next_ = std::move(pairs_[pair]);  // its memory is used again
  erase(pairs_);
  erase(sg_);
  erase(yg_);
  for (auto* matrix : {&sy_, &yy_}) {
    erase(*matrix);
    for (auto& row : *matrix) erase(row);
  }
}

void Lbfgs::clear() {
  pairs_.clear();
  sy_.clear();
  yy_.clear();
  sg_.clear();
  yg_.clear();
  known_ = false;
}

void Lbfgs::gather(const Array<int>& rows, int width) {
  for (Pair& p : pairs_) {
    p.s = gathered(device_, p.s, rows, width);
    p.y = gathered(device_, p.y, rows, width);
  }
  multiply();
  sg_.resize(pairs_.size());
  yg_.resize(pairs_.size());
  known_ = false;
  for (size_t i = pairs_.size(); i-- > 0;)
    if (!curved(i, kLeastCurvature)) drop(i);
}

void Lbfgs::extend(size_t size) {
  for (Pair& p : pairs_) {
    p.s.resize(size);
    p.y.resize(size);
  }
  known_ = false;
}

}  // namespace splat2d
