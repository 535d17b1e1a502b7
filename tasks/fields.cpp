#include "tasks/fields.h"

#include <array>
#include <charconv>

#include "base/error.h"

namespace assay::tasks {

std::string number_text(double value) {
  std::array<char, 32> buffer{};
  auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  (void)error;  // 32 characters hold every shortest form
  return {buffer.data(), end};
}

void Fields::set(std::string name, FieldValue value) {
  own_.insert_or_assign(std::move(name), std::move(value));
}

const FieldValue* Fields::find(std::string_view name) const {
  if (auto it = own_.find(name); it != own_.end()) return &it->second;
  if (document_) {
    if (auto it = document_->fields.find(name); it != document_->fields.end()) return &it->second;
  }
  return parent_ ? parent_->find(name) : nullptr;
}

std::string_view Fields::document_id() const {
  if (document_) return document_->id;
  return parent_ ? parent_->document_id() : std::string_view();
}

std::string Fields::place(std::string_view name) const {
  std::string place = "field '" + std::string(name) + "'";
  if (auto id = document_id(); !id.empty()) place += " of " + std::string(id);
  const Fields* holder = this;
  while (!holder->document_ && holder->parent_) holder = holder->parent_;
  const bool known = holder->document_ && !holder->document_->where.empty();
  return known ? holder->document_->where + ": " + place : place;
}

const FieldValue& Fields::require(std::string_view name) const {
  const FieldValue* value = find(name);
  if (!value) throw_bad_input("no such field", place(name), "see the fields of the data set");
  return *value;
}

const std::string& Fields::string(std::string_view name) const {
  if (auto* s = std::get_if<std::string>(&require(name))) return *s;
  throw_bad_input("expected a text", place(name));
}

const std::vector<std::string>& Fields::list(std::string_view name) const {
  if (auto* l = std::get_if<std::vector<std::string>>(&require(name))) return *l;
  throw_bad_input("expected a list", place(name));
}

int64_t Fields::integer(std::string_view name) const {
  if (auto* i = std::get_if<int64_t>(&require(name))) return *i;
  throw_bad_input("expected an integer", place(name));
}

std::string Fields::text(std::string_view name) const {
  const FieldValue& value = require(name);
  if (std::holds_alternative<std::monostate>(value)) return {};
  if (auto* s = std::get_if<std::string>(&value)) return *s;
  if (auto* i = std::get_if<int64_t>(&value)) return std::to_string(*i);
  if (auto* d = std::get_if<double>(&value)) return number_text(*d);
  if (auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  throw_bad_input("a list stands where one text is expected", place(name),
                  "use a {{#list}} section or the filter join");
}

std::vector<std::string> Fields::texts(std::string_view name) const {
  const FieldValue& value = require(name);
  if (auto* l = std::get_if<std::vector<std::string>>(&value)) return *l;
  if (std::holds_alternative<std::monostate>(value)) return {};
  return {text(name)};
}

}  // namespace assay::tasks
