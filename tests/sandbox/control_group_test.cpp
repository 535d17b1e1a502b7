// Control groups of both versions through the code that uses the kernel's, on directories in which
// the test puts the files that cgroups(7) and the kernel's cgroup-v1 and cgroup-v2 documents describe.
// What the kernel does with them is seen by the tests of level A, on machines that have them.
#include "sandbox/control_group.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <set>

#include "base/file.h"

namespace assay::sandbox {
namespace {

void put(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::trunc) << text;
}
std::string text_of(const fs::path& path) { return read_file(path); }

// A hierarchy in a temporary directory.
class Imitation {
 public:
  // `files`: what a new group contains.
  explicit Imitation(std::map<std::string, std::string> files) : files_(std::move(files)) {}

  fs::path path(const std::string& below = "") const { return directory_.path() / "tree" / below; }
  void add_group(const std::string& below) { populate(path(below)); }

  void show(const std::string& own_groups, const std::string& mounts) const {
    put(directory_.path() / "own", own_groups);
    put(directory_.path() / "mounts", mounts);
  }
  std::string mount(const std::string& point, const std::string& type,
                    const std::string& options) const {
    return "31 23 0:26 / " + path(point).string() + " rw,nosuid shared:9 - " + type + " " + type +
           " " + options + "\n";
  }

  ControlGroupSystem system() {
    ControlGroupSystem made;
    made.own_groups = directory_.path() / "own";
    made.mounts = directory_.path() / "mounts";
    made.make = [this](const fs::path& path) {
      if (closed_.contains(path.parent_path()) || fs::exists(path)) return false;
      populate(path);
      return true;
    };
    made.remove = [](const fs::path& path) {
      // Like rmdir: not with groups in it.
      for (const auto& entry : fs::directory_iterator(path)) {
        if (entry.is_directory()) return errno = EBUSY, false;
      }
      return fs::remove_all(path) > 0;
    };
    return made;
  }

  // No group can be made in it.
  void close(const std::string& below) { closed_.insert(path(below)); }

  std::vector<std::string> groups_in(const std::string& below) const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(path(below))) {
      if (entry.is_directory()) found.push_back(entry.path().filename());
    }
    return found;
  }

 private:
  void populate(const fs::path& path) const {
    fs::create_directories(path);
    for (const auto& [name, text] : files_) put(path / name, text);
  }

  TemporaryDirectory directory_;
  std::map<std::string, std::string> files_;
  std::set<fs::path> closed_;
};

std::map<std::string, std::string> unified_files() {
  return {{"cgroup.procs", ""},     {"cgroup.subtree_control", ""},
          {"memory.max", ""},       {"memory.swap.max", ""},
          {"memory.current", "4096\n"}, {"memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n"},
          {"pids.max", ""},         {"cpu.stat", "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n"}};
}

TEST(ControlGroupTest, Version2) {
  Imitation tree(unified_files());
  tree.add_group("");
  tree.add_group("user.slice");
  tree.add_group("user.slice/session");
  tree.show("0::/user.slice/session\n", tree.mount("", "cgroup2", "rw,nsdelegate"));
  std::string reason;
  {
    const auto groups = ControlGroups::find(reason, tree.system());
    ASSERT_TRUE(groups) << reason;
    EXPECT_EQ(groups->version(), 2);
    EXPECT_TRUE(groups->has_cpu());
    // One directory for everything, beside or below us, with both controllers handed down.
    ASSERT_EQ(groups->paths().size(), 1u);
    const fs::path parent = groups->paths()[0];
    EXPECT_EQ(parent.parent_path(), tree.path("user.slice/session"));
    const std::string handed_down = text_of(parent / "cgroup.subtree_control");
    EXPECT_NE(handed_down.find("+cpu"), std::string::npos) << handed_down;

    const auto slot = groups->make("slot-1-0");
    ASSERT_TRUE(slot);
    const fs::path made = parent / "slot-1-0";
    EXPECT_TRUE(slot->set_limits(300 << 20, 65));
    EXPECT_EQ(text_of(made / "memory.max"), "314572800");
    EXPECT_EQ(text_of(made / "memory.swap.max"), "0");  // swap is no extra allowance
    EXPECT_EQ(text_of(made / "pids.max"), "65");
    // The same limits again write nothing.
    put(made / "pids.max", "untouched");
    EXPECT_TRUE(slot->set_limits(300 << 20, 65));
    EXPECT_EQ(text_of(made / "pids.max"), "untouched");
    EXPECT_TRUE(slot->attach(4242));
    EXPECT_EQ(text_of(made / "cgroup.procs"), "4242");
    EXPECT_FALSE(slot->empty());
    EXPECT_EQ(slot->memory_usage(), 4096);
    EXPECT_EQ(slot->oom_kills(), 2);
    EXPECT_EQ(slot->cpu_seconds(), 1.5);
    EXPECT_EQ(slot->peak_bytes(), std::nullopt);  // memory.peak is that of all programs so far
    put(made / "memory.events", "low 0\noom_kill 3\n");
    EXPECT_EQ(slot->oom_kills(), 3);
  }
  EXPECT_TRUE(tree.groups_in("user.slice/session").empty());
}

// A group that has processes of its own may not hand controllers down: the next above is tried.
TEST(ControlGroupTest, Version2GoesUpToWhereControllersCanBeHandedDown) {
  Imitation tree(unified_files());
  for (const char* group : {"", "a", "a/b", "a/b/c"}) tree.add_group(group);
  fs::remove(tree.path("a/b/c/cgroup.subtree_control"));  // cannot be written
  tree.close("a/b");                                       // no groups can be made
  put(tree.path("a/cgroup.subtree_control"), "cpu memory pids\n");
  tree.show("0::/a/b/c\n", tree.mount("", "cgroup2", "rw"));
  std::string reason;
  const auto groups = ControlGroups::find(reason, tree.system());
  ASSERT_TRUE(groups) << reason;
  EXPECT_EQ(groups->paths()[0].parent_path(), tree.path("a"));
  EXPECT_EQ(text_of(tree.path("a/cgroup.subtree_control")), "cpu memory pids\n");  // as it was
}

TEST(ControlGroupTest, Version2WithoutControllersSaysWhy) {
  Imitation tree(unified_files());
  tree.add_group("");
  tree.add_group("a");
  for (const char* group : {"", "a"}) fs::remove(tree.path(group) / "cgroup.subtree_control");
  tree.show("0::/a\n", tree.mount("", "cgroup2", "rw"));
  std::string reason;
  EXPECT_FALSE(ControlGroups::find(reason, tree.system()));
  EXPECT_NE(reason.find("cgroup v2"), std::string::npos) << reason;
  EXPECT_EQ(tree.groups_in(""), std::vector<std::string>{"a"});
}

// Limits that cannot be set are found by setting them, and nothing is left.
TEST(ControlGroupTest, Version2WithoutLimitsIsRefused) {
  auto files = unified_files();
  files.erase("memory.max");
  Imitation tree(files);
  tree.add_group("");
  tree.show("0::/\n", tree.mount("", "cgroup2", "rw"));
  std::string reason;
  EXPECT_FALSE(ControlGroups::find(reason, tree.system()));
  EXPECT_EQ(reason, "cgroup v2: limits cannot be set");
  EXPECT_TRUE(tree.groups_in("").empty());
}

// In a container the mount shows only the part of the tree below the container's own group.
TEST(ControlGroupTest, PathsBelowAContainersRoot) {
  Imitation tree(unified_files());
  tree.add_group("");
  tree.add_group("job");
  tree.show("0::/docker/abc/job\n", "31 23 0:26 /docker/abc " + tree.path().string() +
                                        " rw - cgroup2 cgroup2 rw\n");
  std::string reason;
  const auto groups = ControlGroups::find(reason, tree.system());
  ASSERT_TRUE(groups) << reason;
  EXPECT_EQ(groups->paths()[0].parent_path(), tree.path("job"));
}

TEST(ControlGroupTest, Version1) {
  Imitation tree({{"cgroup.procs", ""},
                  {"memory.limit_in_bytes", ""},
                  {"memory.memsw.limit_in_bytes", ""},
                  {"memory.use_hierarchy", ""},
                  {"memory.usage_in_bytes", "8192\n"},
                  {"memory.max_usage_in_bytes", "12288\n"},
                  {"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"},
                  {"pids.max", ""},
                  {"cpuacct.usage", "2500000000\n"}});
  for (const char* group : {"memory", "pids", "cpu,cpuacct", "memory/me"}) tree.add_group(group);
  // Version 2 is mounted too, without controllers.
  tree.show("4:memory:/me\n3:pids:/\n2:cpu,cpuacct:/\n0::/\n",
            tree.mount("memory", "cgroup", "rw,memory") + tree.mount("pids", "cgroup", "rw,pids") +
                tree.mount("cpu,cpuacct", "cgroup", "rw,cpu,cpuacct") +
                tree.mount("unified", "cgroup2", "rw"));
  std::string reason;
  {
    const auto groups = ControlGroups::find(reason, tree.system());
    ASSERT_TRUE(groups) << reason;
    EXPECT_EQ(groups->version(), 1);
    ASSERT_EQ(groups->paths().size(), 3u);
    EXPECT_EQ(groups->paths()[0].parent_path(), tree.path("memory/me"));
    const auto slot = groups->make("slot-1-0");
    ASSERT_TRUE(slot);
    const fs::path memory = groups->paths()[0] / "slot-1-0", pids = groups->paths()[1] / "slot-1-0";
    EXPECT_TRUE(slot->set_limits(300 << 20, 65));
    EXPECT_EQ(text_of(memory / "memory.limit_in_bytes"), "314572800");
    EXPECT_EQ(text_of(memory / "memory.memsw.limit_in_bytes"), "314572800");
    EXPECT_EQ(text_of(pids / "pids.max"), "65");
    EXPECT_TRUE(slot->attach(77));
    for (const fs::path& group : groups->paths()) {
      EXPECT_EQ(text_of(group / "slot-1-0/cgroup.procs"), "77") << group;
    }
    EXPECT_EQ(slot->memory_usage(), 8192);
    EXPECT_EQ(slot->oom_kills(), 5);
    EXPECT_EQ(slot->cpu_seconds(), 2.5);
    EXPECT_EQ(slot->peak_bytes(), 12288);
  }
  EXPECT_TRUE(tree.groups_in("memory/me").empty());
  EXPECT_TRUE(tree.groups_in("pids").empty());
  EXPECT_TRUE(tree.groups_in("cpu,cpuacct").empty());
}

TEST(ControlGroupTest, NothingMounted) {
  Imitation tree({});
  tree.show("0::/\n", "20 1 8:1 / / rw - ext4 /dev/root rw\n");
  std::string reason;
  EXPECT_FALSE(ControlGroups::find(reason, tree.system()));
  EXPECT_EQ(reason, "no cgroup hierarchy with memory and pids is mounted");
}

// What a killed supervisor left is removed; what belongs to a live process is not.
TEST(ControlGroupTest, StaleGroupsAreRemoved) {
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  ASSERT_EQ(waitpid(gone, nullptr, 0), gone);
  Imitation tree(unified_files());
  tree.add_group("");
  const std::string stale = "assay-" + std::to_string(gone) + "-0",
                    alive = "assay-" + std::to_string(getpid()) + "-99", other = "other-1";
  for (const std::string& name : {stale, stale + "/slot-1-0", stale + "/slot-2-0", alive, other}) {
    tree.add_group(name);
  }
  tree.show("0::/\n", tree.mount("", "cgroup2", "rw"));
  std::string reason;
  EXPECT_TRUE(ControlGroups::find(reason, tree.system())) << reason;
  EXPECT_FALSE(fs::exists(tree.path(stale)));
  EXPECT_TRUE(fs::exists(tree.path(alive)));
  EXPECT_TRUE(fs::exists(tree.path(other)));
}

}  // namespace
}  // namespace assay::sandbox
