// A generated text and a task's "execute" rule -> the program to run.
#pragma once

#include <string_view>

#include "tasks/program.h"
#include "tasks/task_file.h"

namespace assay::tasks::answers {

// Templates of the rule see all fields of the document, and {{completion}}: the generated text
// after the rule's "clean" filters.
ProgramRequest make_program(const ExecutionRule& rule, const Fields& fields,
                            std::string_view generated);

}  // namespace assay::tasks::answers
