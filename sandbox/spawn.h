// Starting the helper programs that this one carries inside itself.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "sandbox/descriptor.h"

namespace assay::sandbox {

// A file that exists in memory only. Throws Error(resource).
Descriptor memory_file(const char* name, std::string_view content);

// The same descriptor under a number that spawn() does not hand out.
Descriptor high(Descriptor low);

// Starts a program that lies in a memory file, with an empty environment, standard input and output
// /dev/null, standard error `errors` (-1: /dev/null), and `descriptors` as 3, 4, ...; all must be
// high(). Throws Error(resource).
pid_t spawn(const Descriptor& program, const std::vector<std::string>& arguments, int errors,
            const std::vector<int>& descriptors);

}  // namespace assay::sandbox
