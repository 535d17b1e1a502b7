// The named values that templates and rules of one document see.
//
// A Fields is a chain of layers: values set here hide those of the document, which hide those of
// `parent`. Cheap to copy by reference; the document and the parent must outlive it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/dataset.h"

namespace assay::tasks {

using datasets::FieldValue;

class Fields {
 public:
  Fields() = default;
  explicit Fields(const datasets::Document& document, const Fields* parent = nullptr)
      : document_(&document), parent_(parent) {}
  explicit Fields(const Fields* parent) : parent_(parent) {}

  void set(std::string name, FieldValue value);
  // nullptr where no layer has the name; null values (monostate) are found.
  const FieldValue* find(std::string_view name) const;

  // Typed reads; a missing field or another type is bad_input naming the document and the field.
  const std::string& string(std::string_view name) const;
  const std::vector<std::string>& list(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  // The value as prompt text: numbers in shortest decimal form, "" for null; lists are an error.
  std::string text(std::string_view name) const;
  // A list, or the one-element list of a text; empty for null.
  std::vector<std::string> texts(std::string_view name) const;

  // "gsm8k:test:17", or "" where no layer is a document's.
  std::string_view document_id() const;
  // "field 'x' of gsm8k:test:17", for errors.
  std::string place(std::string_view name) const;

 private:
  const FieldValue& require(std::string_view name) const;
  std::map<std::string, FieldValue, std::less<>> own_;
  const datasets::Document* document_ = nullptr;
  const Fields* parent_ = nullptr;
};

// Shortest decimal form that reads back to the same value; independent of the locale.
std::string number_text(double value);

}  // namespace assay::tasks
