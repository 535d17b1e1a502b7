#include "datasets/adapters.h"

namespace assay::datasets {

void read_wikitext_pages(std::string_view text, const std::string& where, const RecordSink& sink) {
  // A level-1 heading is a line " = Title = "; " = = Section = = " is of a deeper level.
  const auto is_heading = [](std::string_view line) {
    return line.starts_with(" = ") && line.ends_with(" = ") && line.size() > 6 &&
           !line.starts_with(" = = ") && line.find(" = ", 3) == line.size() - 3;
  };
  size_t begin = 0;
  std::string title;
  const auto emit = [&](size_t end) {
    if (end == begin) return;
    const json::Document document =
        json::Document::parse(json::Writer()
                                  .begin_object()
                                  .member("page", text.substr(begin, end - begin))
                                  .member("title", title)
                                  .end_object()
                                  .take(),
                              where);
    Place place;
    place.levels.push_back({document.root(), {}, 0});
    place.where = where;
    sink(place);
  };
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (is_heading(line)) {
      // What precedes the first heading is blank and belongs to no page.
      if (!title.empty()) emit(at);
      begin = at;
      title = line.substr(3, line.size() - 6);
    }
    at = end + 1;
  }
  emit(text.size());
}

}  // namespace assay::datasets
