# assay_room(NAME SOURCES <globs...> USES <rooms...> LINKS <libraries...>)
#
# A room of the design is one static library assay::<name>. USES names the rooms below it (public:
# their headers may appear in this room's headers); LINKS names outside libraries, which stay private.
function(assay_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;USES;LINKS" ${ARGN})
  if(NOT ROOM_SOURCES)
    set(ROOM_SOURCES "*.cpp")
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${ROOM_SOURCES})
  add_library(assay_${name} STATIC ${sources})
  add_library(assay::${name} ALIAS assay_${name})
  target_include_directories(assay_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  foreach(used ${ROOM_USES})
    target_link_libraries(assay_${name} PUBLIC assay::${used})
  endforeach()
  target_link_libraries(assay_${name} PRIVATE ${ROOM_LINKS})
endfunction()

# assay_test(NAME USES <rooms...> [LINKS <libraries...>] [LABELS <labels...>] [TIMEOUT s] [LOCK name])
#
# Tests with the same LOCK never run at the same time (those that look for what programs left behind).
# One test program for the *_test.cpp files of the current folder; every TEST becomes a CTest entry.
# Tests that read the shared material get its place as ASSAY_SHARED_DIR and skip loudly without it.
function(assay_test name)
  cmake_parse_arguments(T "" "TIMEOUT;LOCK" "SOURCES;USES;LINKS;LABELS" ${ARGN})
  if(NOT T_SOURCES)
    set(T_SOURCES "*_test.cpp")
  endif()
  if(NOT T_LABELS)
    set(T_LABELS ${name})  # (an empty list would swallow the next property)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 300)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${T_SOURCES})
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR})
  foreach(used ${T_USES})
    target_link_libraries(test_${name} PRIVATE assay::${used})
  endforeach()
  target_link_libraries(test_${name} PRIVATE assay_test_support GTest::gtest GTest::gtest_main ${T_LINKS})
  include(GoogleTest)
  gtest_discover_tests(test_${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}/"
    PROPERTIES TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}" RESOURCE_LOCK "${T_LOCK}")
endfunction()
