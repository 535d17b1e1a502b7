#include "tasks/task_file.h"

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "base/error.h"
#include "tasks/key_reader.h"

namespace assay::tasks {
namespace {

Template template_of(KeyReader& keys, std::string_view key) {
  json::Value value = keys.optional(key);
  if (!value.exists()) return {};
  return Template(value.string(), value.where());
}

FieldValue literal_value(json::Value value) {
  if (value.is_null()) return std::monostate();
  if (value.is_string()) return std::string(value.string());
  if (value.is_integer()) return value.integer();
  if (value.is_number()) return value.number();
  if (value.is_boolean()) return value.boolean();
  if (value.is_array()) return value.strings();
  value.fail("expected a text, a number or a list of texts");
}

template <class T, size_t n>
T one_of(json::Value value, const std::array<std::pair<std::string_view, T>, n>& choices) {
  std::array<std::string_view, n> names;
  std::string all;
  for (size_t i = 0; i < n; ++i) {
    if (choices[i].first == value.string()) return choices[i].second;
    names[i] = choices[i].first;
    all += (i ? ", " : "") + std::string(names[i]);
  }
  std::string near = nearest_word(value.string(), names.data(), n);
  value.fail("'" + std::string(value.string()) + "' is not one of " + all,
             near.empty() ? "" : "did you mean " + near + "?");
}

DeviationCard read_card(json::Value value) {
  DeviationCard card;
  if (!value.exists()) return card;
  KeyReader keys(value);
  card.published = keys.texts("published");
  card.inferred = keys.texts("inferred");
  card.defaults = keys.texts("default");
  keys.finish();
  return card;
}

std::vector<DerivedField> read_fields(json::Value value) {
  std::vector<DerivedField> fields;
  if (!value.exists()) return fields;
  value.for_each_member([&](std::string_view name, json::Value rule) {
    DerivedField field;
    field.name = std::string(name);
    if (rule.is_string()) {
      field.value = Template(rule.string(), rule.where());
    } else {
      KeyReader keys(rule);
      field.each = keys.text("each");
      field.value = template_of(keys, "render");
      if (json::Value literal = keys.optional("value"); literal.exists()) {
        field.literal = literal_value(literal);
      }
      std::string split = keys.text("split");
      if (!split.empty()) {
        field.split_at = keys.text("at");
        field.value = Template(split, keys.where("split"));
        if (field.split_at->empty()) rule.fail("\"at\" is missing");
      }
      keys.finish();
      int kinds = field.literal.has_value() + !field.each.empty() + !split.empty();
      if (kinds != 1) {
        rule.fail(
            "expected a template, {\"each\", \"render\"}, {\"split\", \"at\"} or {\"value\"}");
      }
    }
    fields.push_back(std::move(field));
  });
  return fields;
}

constexpr std::array kPicks{
    std::pair<std::string_view, ShotsRule::Pick>{"none", ShotsRule::Pick::none},
    std::pair<std::string_view, ShotsRule::Pick>{"first", ShotsRule::Pick::first},
    std::pair<std::string_view, ShotsRule::Pick>{"rows", ShotsRule::Pick::rows},
    std::pair<std::string_view, ShotsRule::Pick>{"literal", ShotsRule::Pick::literal},
    std::pair<std::string_view, ShotsRule::Pick>{"hash", ShotsRule::Pick::hash},
    std::pair<std::string_view, ShotsRule::Pick>{"siblings", ShotsRule::Pick::siblings},
    std::pair<std::string_view, ShotsRule::Pick>{"random", ShotsRule::Pick::random},
    std::pair<std::string_view, ShotsRule::Pick>{"field", ShotsRule::Pick::field},
};

ShotsRule read_shots(json::Value value) {
  ShotsRule rule;
  if (!value.exists()) return rule;
  KeyReader keys(value);
  rule.pick = one_of(keys.required("pick"), kPicks);
  rule.k = static_cast<int>(keys.integer("k", 0));
  rule.from = keys.text("from");
  if (json::Value rows = keys.optional("rows"); rows.exists()) {
    rows.for_each_element([&](json::Value row) { rule.rows.push_back(row.integer()); });
  }
  if (json::Value list = keys.optional("list"); list.exists()) {
    list.for_each_element([&](json::Value exemplar) {
      Fields fields;
      exemplar.for_each_member([&](std::string_view name, json::Value field) {
        fields.set(std::string(name), literal_value(field));
      });
      rule.literal.push_back(std::move(fields));
    });
  }
  rule.field = keys.text("field");
  rule.within = keys.text("within");
  rule.across_groups = keys.boolean("across_groups", false);
  rule.predecessors = keys.boolean("predecessors", false);
  rule.exclude = keys.boolean("exclude", false);
  rule.keep_identical = keys.boolean("keep_identical", false);
  rule.extra = static_cast<int>(keys.integer("extra", 0));
  rule.seed = static_cast<uint32_t>(keys.integer("seed", 1234));
  if (json::Value fallback = keys.optional("fallback"); fallback.exists()) {
    rule.fallback = std::make_shared<const ShotsRule>(read_shots(fallback));
  }
  if (json::Value missing = keys.optional("missing"); missing.exists()) {
    rule.missing = std::make_shared<const ShotsRule>(read_shots(missing));
  }
  keys.finish();
  rule.digest = sha256_hex(value.dump(true));
  using Pick = ShotsRule::Pick;
  bool needs_split = rule.pick == Pick::first || rule.pick == Pick::rows ||
                     rule.pick == Pick::hash || rule.pick == Pick::random;
  if (needs_split && rule.from.empty()) value.fail("\"from\" must name the split of the exemplars");
  if (rule.pick == Pick::rows && rule.rows.empty()) value.fail("\"rows\" is missing");
  if (rule.pick == Pick::literal && rule.literal.empty()) value.fail("\"list\" is missing");
  if (rule.pick == Pick::field && rule.field.empty()) value.fail("\"field\" is missing");
  if (rule.k < 0) value.fail("\"k\" must not be negative");
  return rule;
}

GoldRule read_gold(json::Value value) {
  static constexpr std::array kForms{
      std::pair<std::string_view, GoldForm>{"index", GoldForm::index},
      std::pair<std::string_view, GoldForm>{"letter", GoldForm::letter},
      std::pair<std::string_view, GoldForm>{"letters", GoldForm::letters},
      std::pair<std::string_view, GoldForm>{"text", GoldForm::text},
      std::pair<std::string_view, GoldForm>{"texts", GoldForm::texts}};
  if (!value.exists()) return {};
  KeyReader keys(value);
  GoldRule rule;
  int found = 0;
  for (auto [name, form] : kForms) {
    json::Value field = keys.optional(name);
    if (!field.exists()) continue;
    rule = {form, std::string(field.string())};
    ++found;
  }
  keys.finish();
  if (found != 1) value.fail("expected one of index, letter, letters, text, texts");
  return rule;
}

std::optional<SampleRule> read_sample(json::Value value) {
  if (!value.exists()) return std::nullopt;
  KeyReader keys(value);
  SampleRule rule;
  rule.documents = keys.required("documents").integer();
  rule.seed = static_cast<uint32_t>(keys.integer("seed", 1234));
  keys.finish();
  if (rule.documents < 1) value.fail("\"documents\" must be at least 1");
  return rule;
}

ExecutionRule read_execution(json::Value value) {
  ExecutionRule rule;
  KeyReader keys(value);
  rule.kind = Template(keys.required("kind").string(), keys.where("kind"));
  rule.program = Template(keys.required("program").string(), keys.where("program"));
  rule.prelude = template_of(keys, "prelude");
  rule.reference = template_of(keys, "reference");
  rule.tests = template_of(keys, "tests");
  rule.entry_point = template_of(keys, "entry_point");
  rule.inputs = keys.text("inputs");
  rule.expected = keys.text("expected");
  rule.expression = keys.text("expression");
  rule.seconds = keys.number("seconds", 10);
  if (json::Value clean = keys.optional("clean"); clean.exists()) {
    clean.for_each_element(
        [&](json::Value name) { rule.clean.emplace_back(name.string(), name.where()); });
  }
  keys.finish();
  return rule;
}

std::vector<TextMetric> read_metrics(json::Value value, const answers::Extraction& common) {
  std::vector<TextMetric> metrics;
  if (!value.exists()) return metrics;
  value.for_each_member([&](std::string_view name, json::Value rule) {
    KeyReader keys(rule);
    for (const char* key : {"prepare", "extract", "clean", "none", "compare", "ignore",
                            "ignore_case", "ignore_punctuation"}) {
      keys.optional(key);
    }
    keys.finish();
    metrics.push_back(
        {std::string(name), answers::Extraction(rule, &common), answers::Scorer(rule)});
  });
  return metrics;
}

// "categories": the groups' own categories ("groups"), or {name: [group, ...]}.
AggregationRule read_aggregation(json::Value value, const datasets::DatasetSpec& data) {
  AggregationRule rule;
  if (!value.exists()) return rule;
  KeyReader keys(value);
  rule.headline = keys.text("headline", "micro");
  bool macro = keys.text("category_mean", "micro") == "macro";
  auto listed = [&](json::Value categories) {
    categories.for_each_member([&](std::string_view name, json::Value groups) {
      rule.categories.push_back({std::string(name), groups.strings(), macro});
    });
  };
  if (json::Value categories = keys.optional("categories"); categories.exists()) {
    if (categories.is_object()) {
      listed(categories);
    } else {
      if (categories.string() != "groups") categories.fail("expected \"groups\" or an object");
      for (const datasets::Group& group : data.all_groups()) {
        auto same = [&](const Category& category) { return category.name == group.category; };
        auto it = std::find_if(rule.categories.begin(), rule.categories.end(), same);
        if (it == rule.categories.end()) {
          it = rule.categories.insert(it, {group.category, {}, macro});
        }
        it->groups.push_back(group.name);
      }
    }
  }
  if (json::Value more = keys.optional("more_categories"); more.exists()) listed(more);
  rule.breakdowns = keys.texts("breakdowns");
  rule.lower_is_better = keys.boolean("lower_is_better", false);
  rule.percent = keys.boolean("percent", true);
  rule.expected_groups = static_cast<size_t>(keys.integer("groups", 0));
  keys.finish();
  return rule;
}

void read_generation(json::Value value, TaskFile& file) {
  if (!value.exists()) return;
  KeyReader keys(value);
  if (json::Value stop = keys.optional("stop"); stop.exists()) {
    stop.for_each_element(
        [&](json::Value text) { file.stop.emplace_back(text.string(), text.where()); });
  }
  GenerationRule& rule = file.generation;
  if (json::Value tokens = keys.optional("max_new_tokens"); tokens.exists() && tokens.is_string()) {
    file.new_tokens = Template(tokens.string(), tokens.where());
  } else {
    rule.max_new_tokens = static_cast<int>(keys.integer("max_new_tokens", 256));
  }
  rule.temperature = keys.number("temperature", 0);
  rule.top_p = keys.number("top_p", 1);
  rule.samples = static_cast<int>(keys.integer("samples", 1));
  keys.finish();
  if (rule.max_new_tokens < 1) value.fail("max_new_tokens must be at least 1");
  if (rule.samples < 1) value.fail("samples must be at least 1");
  if (rule.samples > 1 && rule.temperature == 0) value.fail("samples needs a temperature above 0");
}

// Everything but what people read and where the data lies, in canonical form.
std::string template_digest_of(json::Value root) {
  json::Writer out;
  out.begin_object();
  root.for_each_member([&](std::string_view key, json::Value value) {
    for (const char* other : {"title", "row", "section", "summary", "card", "data", "variants",
                              "together", "base", "order", "shots", "max_len", "primary"}) {
      if (key == other) return;
    }
    out.key(key).value(value);
  });
  out.end_object();
  std::string text = out.take();
  return sha256_hex(json::Document::parse(text, "template").root().dump(true));
}

void read_options(KeyReader& keys, TaskFile& file) {
  if (json::Value options = keys.optional("options"); options.exists()) {
    if (options.is_string()) {
      file.choice.options = std::string(options.string());
    } else {
      file.choice.fixed_options = options.strings();
    }
  }
  file.choice.continuation = template_of(keys, "continuation");
  file.choice.whole = keys.boolean("whole", false);
  if (json::Value uncond = keys.optional("uncond"); uncond.exists()) {
    file.choice.uncond = Template(uncond.string(), uncond.where());
  }
  if (json::Value contexts = keys.optional("contexts"); contexts.exists()) {
    contexts.for_each_element(
        [&](json::Value text) { file.contexts.emplace_back(text.string(), text.where()); });
  }
}

void check(const TaskFile& file, json::Value root) {
  auto need = [&](bool condition, const char* what) {
    if (!condition) root.fail(what);
  };
  bool options = !file.choice.options.empty() || !file.choice.fixed_options.empty();
  switch (file.kind) {
    case RequestKind::choice:
      need(options, "a choice task needs \"options\"");
      need(!file.choice.continuation.empty(), "a choice task needs \"continuation\"");
      break;
    case RequestKind::partial:
      need(file.contexts.size() >= 2, "a partial task needs \"contexts\", one for each option");
      need(!file.choice.continuation.empty(), "a partial task needs \"continuation\"");
      break;
    case RequestKind::generate:
      need(!file.suffix || file.shots.pick == ShotsRule::Pick::none,
           "\"suffix\" (fill-in-the-middle) takes no exemplars");
      need(!file.metrics.empty() || file.execution.has_value(),
           "a generate task needs \"metrics\" or \"execute\"");
      break;
    case RequestKind::rolling:
      need(file.stride >= 0 && (file.max_len == 0 || file.stride <= file.max_len),
           "\"stride\" must be at most \"max_len\", so that every token is scored");
      break;
  }
  need(file.stride == 0 || file.kind == RequestKind::rolling, "only a rolling task has a \"stride\"");
  if (file.kind == RequestKind::choice || file.kind == RequestKind::partial) {
    need(!file.gold.field.empty(), "\"gold\" is missing");
    const std::string& norm = file.choice.primary;
    if (norm == "whole") need(file.choice.whole, "primary \"whole\" needs \"whole\": true");
    if (norm == "uncond")
      need(file.choice.uncond.has_value(), "primary \"uncond\" needs \"uncond\"");
  }
}

}  // namespace

std::shared_ptr<const TaskFile> parse_task_file(json::Document merged, const std::string& variant,
                                                const std::string& where) {
  auto file = std::make_shared<TaskFile>();
  file->source = std::make_shared<const json::Document>(std::move(merged));
  json::Value root = file->source->root();
  KeyReader keys(root);
  file->name = std::string(keys.required("task").string());
  file->variant = variant;
  file->where = where;
  for (const char* key :
       {"title", "row", "section", "summary", "variants", "together", "order", "base"}) {
    keys.optional(key);
  }
  file->card = read_card(keys.optional("card"));
  if (json::Value haystack = keys.optional("haystack"); haystack.exists()) {
    file->haystack = read_haystack(haystack);
    file->needle = Template(keys.required("needle").string(), keys.where("needle"));
    const json::Document nothing =
        json::Document::parse(R"({"splits": {"test": {"files": "made by the program"}}})", file->where);
    file->data = datasets::DatasetSpec::parse(nothing.root(), file->name);
  } else {
    file->data = datasets::DatasetSpec::parse(keys.required("data"), file->name);
  }
  file->split = std::string(keys.required("split").string());
  file->fields = read_fields(keys.optional("fields"));
  if (json::Value joined = keys.optional("join_split"); joined.exists()) {
    joined.for_each_member([&](std::string_view name, json::Value rule) {
      KeyReader from(rule);
      file->joined.push_back({std::string(name), std::string(from.required("split").string()),
                              std::string(from.required("field").string())});
      from.finish();
    });
  }
  if (json::Value rows = keys.optional("except_rows"); rows.exists()) {
    rows.for_each_element([&](json::Value row) { file->except_rows.push_back(row.integer()); });
  }
  file->sample = read_sample(keys.optional("sample"));
  if (json::Value only = keys.optional("only"); only.exists()) {
    only.for_each_member([&](std::string_view field, json::Value values) {
      file->only[std::string(field)] = values.strings();
    });
  }
  if (json::Value group_fields = keys.optional("group_fields"); group_fields.exists()) {
    group_fields.for_each_member([&](std::string_view field, json::Value groups) {
      groups.for_each_member([&](std::string_view group, json::Value text) {
        file->group_fields[std::string(field)][std::string(group)] = std::string(text.string());
      });
    });
  }

  static constexpr std::array kKinds{
      std::pair<std::string_view, RequestKind>{"choice", RequestKind::choice},
      std::pair<std::string_view, RequestKind>{"partial", RequestKind::partial},
      std::pair<std::string_view, RequestKind>{"generate", RequestKind::generate},
      std::pair<std::string_view, RequestKind>{"rolling", RequestKind::rolling}};
  file->kind = one_of(keys.required("request"), kKinds);
  file->description = template_of(keys, "description");
  file->query = template_of(keys, "query");
  file->answer = template_of(keys, "answer");
  if (keys.optional("suffix").exists()) file->suffix = template_of(keys, "suffix");
  if (keys.optional("shot").exists()) file->shot = template_of(keys, "shot");
  file->separator = keys.text("separator", "\n\n");
  file->lead_space = keys.boolean("lead_space", true);
  file->shots = read_shots(keys.optional("shots"));
  file->max_len = keys.integer("max_len", 4096);
  file->stride = keys.integer("stride", 0);
  static constexpr std::array kTooLong{
      std::pair<std::string_view, TooLong>{"drop_shots", TooLong::drop_shots},
      std::pair<std::string_view, TooLong>{"cut_left", TooLong::cut_left}};
  if (json::Value too_long = keys.optional("too_long"); too_long.exists()) {
    file->too_long = one_of(too_long, kTooLong);
  }
  read_options(keys, *file);
  file->gold = read_gold(keys.optional("gold"));
  read_generation(keys.optional("generate"), *file);

  for (const char* key : {"prepare", "extract", "clean", "none"}) keys.optional(key);
  answers::Extraction extraction(root, nullptr);
  file->metrics = read_metrics(keys.optional("metrics"), extraction);
  if (json::Value execute = keys.optional("execute"); execute.exists()) {
    file->execution = read_execution(execute);
  }
  file->aggregation = read_aggregation(keys.optional("aggregate"), *file->data);

  static constexpr std::array kNorms{"sum", "token", "char", "byte", "uncond", "whole"};
  json::Value primary = keys.optional("primary");
  if (file->kind == RequestKind::choice || file->kind == RequestKind::partial) {
    if (primary.exists()) {
      std::array<std::pair<std::string_view, std::string_view>, kNorms.size()> norms;
      for (size_t i = 0; i < kNorms.size(); ++i) norms[i] = {kNorms[i], kNorms[i]};
      file->choice.primary = std::string(one_of(primary, norms));
    }
    file->primary_metric = "acc." + file->choice.primary;
  } else if (file->kind == RequestKind::rolling) {
    file->primary_metric = "bits_per_byte";
  } else {
    file->primary_metric = file->execution         ? "pass@1"
                           : file->metrics.empty() ? ""
                                                   : file->metrics.front().name;
    if (primary.exists()) {
      bool known = primary.string() == file->primary_metric;
      for (const TextMetric& metric : file->metrics) known |= metric.name == primary.string();
      if (!known) primary.fail("no such metric");
      file->primary_metric = std::string(primary.string());
    }
  }
  file->aggregation.metric = file->primary_metric;
  keys.finish();
  check(*file, root);
  file->template_digest = template_digest_of(root);
  return file;
}

}  // namespace assay::tasks
