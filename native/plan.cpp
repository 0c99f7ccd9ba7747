#include <algorithm>
#include <numeric>

#include "args.h"

namespace unroll {

RowPacking::RowPacking(const Args& p) {
  plan_.rows = p.B;
  plan_.steps = p.B ? p.T : 0;
  if (p.lengths == nullptr) return;
  const auto length = [&](index b) { return std::clamp<index>(p.lengths[b], 0, p.T); };
  bool alike = true;
  for (index b = 0; b < p.B && alike; ++b) alike = length(b) == p.T;
  if (alike) return;

  order_.resize(p.B);
  std::iota(order_.begin(), order_.end(), index{0});
  std::stable_sort(order_.begin(), order_.end(), [&](index a, index b) { return length(a) > length(b); });
  for (index b : order_) lengths_.push_back(length(b));
  const index steps = lengths_.front();
  offsets_.resize(steps + 1);
  index active = p.B, before = 0;
  for (index n = 0; n < steps; ++n) {
    while (active > 0 && lengths_[active - 1] <= n) --active;
    offsets_[n] = before;
    before += active;
  }
  offsets_[steps] = before;
  plan_ = {p.B, steps, order_.data(), lengths_.data(), offsets_.data()};
}

index PackedRows::cut(index parts, index* bounds) const {
  const index all = total();
  index count = 0, done = 0;
  bounds[0] = 0;
  for (index rank = 0; rank + 1 < rows && count + 1 < parts; ++rank) {
    done += length(rank);
    // the border lies where it is nearest to an equal share
    if (2 * done * parts + length(rank + 1) * parts > 2 * all * (count + 1)) bounds[++count] = rank + 1;
  }
  if (rows > 0) bounds[++count] = rows;
  return count;
}

}  // namespace unroll
