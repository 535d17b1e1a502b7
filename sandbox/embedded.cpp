#include "sandbox/embedded.h"

// The assembler copies the files into the read-only data of this object.
#define EMBED(name, path)                                                             \
  __asm__(                                                                            \
      ".pushsection .rodata\n"                                                        \
      ".global assay_sandbox_" #name                                                  \
      "_begin\n"                                                                      \
      ".global assay_sandbox_" #name                                                  \
      "_end\n"                                                                        \
      "assay_sandbox_" #name                                                          \
      "_begin:\n"                                                                     \
      ".incbin \"" path                                                               \
      "\"\n"                                                                          \
      "assay_sandbox_" #name                                                          \
      "_end:\n"                                                                       \
      ".byte 0\n"                                                                     \
      ".popsection\n");                                                               \
  extern "C" const char assay_sandbox_##name##_begin[], assay_sandbox_##name##_end[]; \
  namespace assay::sandbox::embedded {                                                \
  const std::string_view name(assay_sandbox_##name##_begin,                           \
                              static_cast<size_t>(assay_sandbox_##name##_end -        \
                                                  assay_sandbox_##name##_begin));     \
  }

EMBED(launch, SANDBOX_LAUNCH)
EMBED(janitor, SANDBOX_JANITOR)
EMBED(guard, SANDBOX_GUARD)
EMBED(plain, SANDBOX_PYTHON "/plain.py")
EMBED(server, SANDBOX_PYTHON "/server.py")
EMBED(candidate, SANDBOX_PYTHON "/candidate.py")
EMBED(checker, SANDBOX_PYTHON "/checker.py")
EMBED(probe, SANDBOX_PYTHON "/probe.py")
