#include "tasks/haystack.h"

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "base/error.h"
#include "tasks/embedded.h"
#include "tasks/key_reader.h"

namespace assay::tasks {

namespace {

constexpr std::array<const char*, 24> kCities = {
    "Aveiro",  "Bergen",   "Cuenca",  "Dundee",   "Esztergom", "Fukui",   "Ghent",   "Hobart",
    "Izmir",   "Jaipur",   "Kotor",   "Lucerne",  "Mombasa",   "Nantes",  "Oulu",    "Puebla",
    "Quito",   "Rabat",    "Szeged",  "Tampere",  "Uppsala",   "Valdivia", "Wroclaw", "Yerevan"};

const std::vector<std::string>& sentences() {
  static const std::vector<std::string> kSentences = [] {
    std::vector<std::string> out;
    const std::string_view text = embedded_file("haystack.txt");
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      if (end > begin) out.emplace_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
    return out;
  }();
  return kSentences;
}

// The first digits of a digest: the same number on every machine.
uint64_t number_of(const std::string& what) {
  return std::stoull(sha256_hex(what).substr(0, 15), nullptr, 16);
}

// Which sentence stands at each place: one shuffled pass through the text after another.
class Order {
 public:
  Order(uint64_t seed, int64_t repeat)
      : name_("haystack/" + std::to_string(seed) + "/" + std::to_string(repeat) + "/") {}

  const std::string& at(size_t place) {
    while (order_.size() <= place) {
      const std::string pass = name_ + std::to_string(order_.size() / sentences().size()) + "/";
      std::vector<std::pair<std::string, size_t>> keyed;
      for (size_t i = 0; i < sentences().size(); ++i) {
        keyed.emplace_back(sha256_hex(pass + std::to_string(i)), i);
      }
      std::sort(keyed.begin(), keyed.end());
      for (const auto& [digest, index] : keyed) order_.push_back(index);
    }
    return sentences()[order_[place]];
  }

 private:
  std::string name_;
  std::vector<size_t> order_;
};

std::vector<int64_t> grid_lengths(const HaystackRule& rule, int64_t longest) {
  if (!rule.lengths.empty()) return rule.lengths;
  std::vector<int64_t> lengths;
  for (int64_t length = rule.shortest; length < longest; length *= 2) lengths.push_back(length);
  lengths.push_back(longest);
  return lengths;
}

}  // namespace

HaystackRule read_haystack(json::Value value) {
  HaystackRule rule;
  KeyReader keys(value);
  const auto numbers = [&](const char* key, std::vector<int64_t>& out, int64_t low, int64_t high) {
    if (json::Value list = keys.optional(key); list.exists()) {
      list.for_each_element([&](json::Value element) {
        if (element.integer() < low || element.integer() > high) {
          element.fail("must lie between " + std::to_string(low) + " and " + std::to_string(high));
        }
        out.push_back(element.integer());
      });
      std::sort(out.begin(), out.end());
      out.erase(std::unique(out.begin(), out.end()), out.end());
    }
  };
  numbers("lengths", rule.lengths, 64, int64_t{1} << 30);
  numbers("depths", rule.depths, 0, 100);
  rule.shortest = keys.integer("shortest", 512);
  rule.repeats = static_cast<int>(keys.integer("repeats", 1));
  rule.seed = static_cast<uint64_t>(keys.integer("seed", 0));
  keys.finish();
  if (rule.depths.empty()) rule.depths = {0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100};
  if (rule.shortest < 64) value.fail("\"shortest\" must be at least 64");
  if (rule.repeats < 1) value.fail("\"repeats\" must be at least 1");
  return rule;
}

datasets::Split haystack_documents(const HaystackRule& rule, int64_t longest, const std::string& task) {
  datasets::Split split;
  for (const int64_t length : grid_lengths(rule, longest)) {
    if (length > longest) {
      split.warnings.push_back(task + ": length " + std::to_string(length) +
                               " is beyond the context of " + std::to_string(longest) + " tokens");
      continue;
    }
    for (const int64_t depth : rule.depths) {
      for (int64_t repeat = 0; repeat < rule.repeats; ++repeat) {
        datasets::Document document;
        document.split = "test";
        document.source_index = static_cast<int64_t>(split.documents.size());
        const std::string cell = std::to_string(length) + "|" + std::to_string(depth);
        document.id = task + ":test:" + std::to_string(length) + ":" + std::to_string(depth) + ":" +
                      std::to_string(repeat);
        const uint64_t drawn =
            number_of("needle/" + std::to_string(rule.seed) + "/" + cell + "/" + std::to_string(repeat));
        document.fields["length"] = length;
        document.fields["depth"] = depth;
        document.fields["cell"] = cell;
        document.fields["repeat"] = repeat;
        document.fields["city"] = std::string(kCities[drawn % kCities.size()]);
        document.fields["number"] = std::to_string(1000000 + drawn / kCities.size() % 9000000);
        document.content_hash = sha256_hex(document.id + "/" + std::to_string(rule.seed));
        split.documents.push_back(std::move(document));
      }
    }
  }
  return split;
}

std::string fill_haystack(const HaystackRule& rule, int64_t repeat, int64_t depth,
                          const std::string& needle,
                          const std::function<bool(const std::string& text)>& fits) {
  Order order(rule.seed, repeat);
  const auto text_of = [&](size_t count) {
    const size_t before = (count * static_cast<size_t>(depth) + 50) / 100;
    std::string text;
    for (size_t place = 0; place < count; ++place) {
      if (place == before) text += needle + " ";
      text += order.at(place);
      if (place + 1 < count || before == count) text += " ";
    }
    return before == count ? text + needle : text;
  };
  if (!fits(needle)) throw_usage("the context leaves no room for a haystack", "a larger --max-length");
  size_t good = 0, bad = 8;
  while (fits(text_of(bad))) {
    good = bad;
    bad *= 2;
  }
  while (bad - good > 1) {
    const size_t middle = good + (bad - good) / 2;
    (fits(text_of(middle)) ? good : bad) = middle;
  }
  return text_of(good);
}

}  // namespace assay::tasks
