#include "tasks/merge_patch.h"

namespace assay::tasks {
namespace {

// RFC 7386: a patch object without a target object still loses its nulls.
void write_without_nulls(json::Value value, json::Writer& out) {
  if (!value.is_object()) {
    out.value(value);
    return;
  }
  out.begin_object();
  value.for_each_member([&](std::string_view key, json::Value member) {
    if (member.is_null()) return;
    out.key(key);
    write_without_nulls(member, out);
  });
  out.end_object();
}

void write_merged(json::Value target, json::Value patch, json::Writer& out) {
  if (!patch.is_object() || !target.exists() || !target.is_object()) {
    write_without_nulls(patch, out);
    return;
  }
  out.begin_object();
  target.for_each_member([&](std::string_view key, json::Value member) {
    json::Value change = patch.find(key);
    if (change.exists() && change.is_null()) return;
    out.key(key);
    if (change.exists()) {
      write_merged(member, change, out);
    } else {
      out.value(member);
    }
  });
  patch.for_each_member([&](std::string_view key, json::Value member) {
    if (member.is_null() || target.has(key)) return;
    out.key(key);
    write_without_nulls(member, out);
  });
  out.end_object();
}

}  // namespace

std::string merge_patch(json::Value target, json::Value patch) {
  json::Writer out;
  write_merged(target, patch, out);
  return out.take();
}

}  // namespace assay::tasks
