#include "datasets/adapters.h"

namespace assay::datasets {

void read_humaneval_lines(std::string_view text, const std::string& where, const RecordSink& sink) {
  json::for_each_line(text, where, [&](json::Value problem, size_t line) {
    const std::string at = where + ":" + std::to_string(line);
    const std::string prompt(problem.at("prompt").string());
    const std::string solution(problem.at("canonical_solution").string());
    size_t number = 0;
    for (size_t begin = 0; begin < solution.size(); ++number) {
      const size_t end = std::min(solution.find('\n', begin), solution.size());
      const std::string hole = solution.substr(begin, end - begin);
      if (hole.find_first_not_of(" \t\r") != std::string::npos) {
        json::Writer w;
        w.begin_object()
            .member("task_id", "SingleLineInfilling/" + std::string(problem.at("task_id").string()) +
                                   "/L" + std::to_string(number))
            .member("entry_point", problem.at("entry_point").string())
            .member("prompt", prompt + solution.substr(0, begin))
            .member("suffix", solution.substr(end))
            .member("canonical_solution", hole)
            .member("test", problem.at("test").string())
            .end_object();
        const json::Document record = json::Document::parse(w.take(), at);
        Place place;
        place.levels.push_back({record.root(), {}, number});
        place.where = at;
        sink(place);
      }
      begin = end + 1;
    }
  });
}

}  // namespace assay::datasets
