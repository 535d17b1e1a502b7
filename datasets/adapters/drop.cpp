#include "datasets/adapters.h"

namespace assay::datasets {

namespace {

struct Answer {
  std::string type;                // "" if it has no content
  std::vector<std::string> spans;  // what graders compare
  std::string text;                // as a shot shows it
};

Answer read_answer(json::Value value) {
  Answer answer;
  if (const auto number = value.find("number"); number.exists() && !number.is_null()) {
    if (const std::string text = text_of(number); !text.empty()) {
      return {"number", {text}, text};
    }
  }
  if (const auto spans = value.find("spans"); spans.exists() && !spans.is_null()) {
    answer.spans = spans.strings();
    if (!answer.spans.empty()) {
      answer.type = "span";
      for (const std::string& span : answer.spans) {
        answer.text += (answer.text.empty() ? "" : ", ") + span;
      }
      return answer;
    }
  }
  const auto date = value.find("date");
  if (!date.exists() || !date.is_object()) return answer;
  for (const char* part : {"day", "month", "year"}) {
    const std::string text = date.string_or(part, "");
    if (!text.empty()) answer.text += (answer.text.empty() ? "" : " ") + text;
  }
  if (!answer.text.empty()) {
    answer.type = "date";
    answer.spans = {answer.text};
  }
  return answer;
}

}  // namespace

void adapt_drop(Fields& fields, const Place& place) {
  const auto json_of = [&](const char* name) -> const std::string* {
    const auto it = fields.find(name);
    return it == fields.end() ? nullptr : std::get_if<std::string>(&it->second);
  };
  const std::string* main = json_of("answer");
  if (!main) place.fail("question lacks \"answer\"");
  const json::Document main_json = json::Document::parse(*main, place.where);
  const Answer answer = read_answer(main_json.root());
  if (answer.type.empty()) place.fail("\"answer\" has no number, date or spans");
  std::vector<std::string> golds;
  const auto add = [&](const Answer& a) {
    if (!a.type.empty()) golds.push_back(text_of(FieldValue(a.spans)));
  };
  add(answer);
  if (const std::string* validated = json_of("validated_answers")) {
    const json::Document list = json::Document::parse(*validated, place.where);
    list.root().for_each_element([&](json::Value v) { add(read_answer(v)); });
  }
  fields["answer_type"] = answer.type;
  fields["answer_text"] = answer.text;
  fields["golds"] = std::move(golds);
}

}  // namespace assay::datasets
