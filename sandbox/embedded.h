// Files that run inside the sandbox, carried inside the program.
#pragma once

#include <string_view>

namespace assay::sandbox::embedded {

extern const std::string_view launch;     // executable: guard/launch.cpp
extern const std::string_view janitor;    // executable: guard/janitor.cpp
extern const std::string_view guard;      // shared library: guard/guard.cpp
extern const std::string_view plain;      // python/plain.py
extern const std::string_view server;     // python/server.py
extern const std::string_view candidate;  // python/candidate.py
extern const std::string_view checker;    // python/checker.py
extern const std::string_view probe;      // python/probe.py

}  // namespace assay::sandbox::embedded
