// Fetching from a server in this process: whole, resumed, refused ranges, wrong digests, errors.
#include "datasets/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/digest.h"
#include "datasets/files.h"
#include "datasets/layout.h"
#include "tests/datasets/specs.h"
#include "tests/support/paths.h"

namespace assay::datasets {
namespace {

// A small HTTP/1.1 server on a free loopback port: one request a connection.
class Server {
 public:
  Server() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) != 0 ||
        ::listen(listener_, 8) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
      throw std::runtime_error("no loopback socket");
    }
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    stop_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }

  std::map<std::string, std::string> files;  // path -> body; set before the first request
  bool ranges = true;
  size_t cut_after = std::string::npos;  // closes the connection after so many bytes, once
  std::vector<std::string> requests;     // "path range"; read after the fetch
  std::map<std::string, std::string> redirects;  // path -> Location
  std::string tag;                       // ETag of every file; a range is given only to who names it
  int errors = 0;                        // so many requests are answered with 503

 private:
  void serve() {
    while (!stop_) {
      const int client = ::accept(listener_, nullptr, nullptr);
      if (client < 0) return;
      answer(client);
      ::close(client);
    }
  }
  void answer(int client) {
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(client, buffer, sizeof buffer, 0);
      if (n <= 0) return;
      request.append(buffer, static_cast<size_t>(n));
    }
    const std::string path = request.substr(4, request.find(' ', 4) - 4);
    size_t from = 0;
    if (const size_t at = request.find("Range: bytes="); at != std::string::npos) {
      from = std::stoul(request.substr(at + 13));
    }
    requests.push_back(path + " " + std::to_string(from));
    if (const size_t at = request.find("If-Range: "); at != std::string::npos) {
      if (request.substr(at + 10, request.find("\r\n", at) - at - 10) != tag) from = 0;
    }
    std::string head, body;
    const auto it = files.find(path);
    if (errors > 0) {
      --errors;
      head = "HTTP/1.1 503 Service Unavailable\r\n";
    } else if (const auto redirect = redirects.find(path); redirect != redirects.end()) {
      head = "HTTP/1.1 302 Found\r\nLocation: " + redirect->second + "\r\n";
    } else if (it == files.end()) {
      head = "HTTP/1.1 404 Not Found\r\n";
    } else if (from > 0 && ranges && from >= it->second.size()) {
      head = "HTTP/1.1 416 Range Not Satisfiable\r\n";
    } else if (from > 0 && ranges) {
      head = "HTTP/1.1 206 Partial Content\r\n";
      body = it->second.substr(from);
    } else {
      head = "HTTP/1.1 200 OK\r\n";
      body = it->second;
    }
    if (!tag.empty()) head += "ETag: " + tag + "\r\n";
    head += "Content-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n";
    if (cut_after < body.size()) body.resize(cut_after), cut_after = std::string::npos;
    const std::string all = head + body;
    for (size_t done = 0; done < all.size();) {
      const ssize_t n = ::send(client, all.data() + done, all.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return;
      done += static_cast<size_t>(n);
    }
  }

  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class Fetch : public ::testing::Test {
 protected:
  Fetch() {
    for (int i = 0; i < 40000; ++i) content_ += "{\"q\": " + std::to_string(i) + "}\n";
    server_.files["/publisher.org/a.jsonl"] = content_;
    options_.mirror = server_.address();
  }
  DatasetSpec spec(const std::string& sha256) const {
    return spec_from(
        R"({"files":"toy/a.jsonl","splits":{"test":{"rows":40000}},"origin":{"licence":"MIT",
      "files":[{"url":"https://publisher.org/a.jsonl","to":"toy/a.jsonl","sha256":")" +
        sha256 + "\"}]}}");
  }
  DatasetSpec spec() const { return spec(sha256_hex(content_)); }
  fs::path file() const { return root() / "toy/a.jsonl"; }
  fs::path part() const { return root() / "toy/a.jsonl.part"; }
  fs::path root() const { return directory_.path(); }
  // Nothing but finished files.
  bool clean() const {
    for (const auto& entry : fs::recursive_directory_iterator(root())) {
      if (entry.path().string().find(".part") != std::string::npos) return false;
    }
    return true;
  }

  std::string content_;
  Server server_;
  FetchOptions options_;
  TemporaryDirectory directory_{"assay-fetch"};
};

TEST_F(Fetch, WholeFileThenNothing) {
  uint64_t seen = 0;
  options_.progress = [&](const FetchProgress& p) {
    EXPECT_GE(p.done, seen);
    seen = p.done;
    return true;
  };
  const auto fetched = fetch(spec(), root(), options_);
  ASSERT_EQ(fetched.size(), 1u);
  EXPECT_EQ(fetched[0].state, Fetched::State::fetched);
  EXPECT_EQ(fetched[0].url, server_.address() + "/publisher.org/a.jsonl");
  EXPECT_TRUE(fetched[0].verified);
  EXPECT_EQ(seen, content_.size());
  EXPECT_EQ(read_file(file()), content_);
  EXPECT_FALSE(fs::exists(part()));
  EXPECT_EQ(load_split(spec(), root(), "test").documents.size(), 40000u);
  EXPECT_EQ(fetch(spec(), root(), options_)[0].state, Fetched::State::present);
  EXPECT_EQ(server_.requests.size(), 1u);
}

TEST_F(Fetch, GoesOnWhereItWasCutOff) {
  server_.cut_after = 100000;
  EXPECT_NE(message_of([&] { fetch(spec(), root(), options_); }).find("download failed"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(file()));
  const uint64_t have = fs::file_size(part());
  EXPECT_EQ(have, 100000u);
  const auto fetched = fetch(spec(), root(), options_);
  EXPECT_EQ(fetched[0].resumed_from, have);
  EXPECT_EQ(read_file(file()), content_);
  EXPECT_EQ(server_.requests, (std::vector<std::string>{"/publisher.org/a.jsonl 0",
                                                        "/publisher.org/a.jsonl 100000"}));
}

TEST_F(Fetch, StartsOverWhereTheServerKnowsNoRanges) {
  server_.ranges = false;
  fs::create_directories(part().parent_path());
  std::ofstream(part()) << "something else entirely";
  EXPECT_EQ(fetch(spec(), root(), options_)[0].resumed_from, 0u);
  EXPECT_EQ(read_file(file()), content_);
}

TEST_F(Fetch, ACompletePartOnlyNeedsItsName) {
  fs::create_directories(part().parent_path());
  std::ofstream(part()) << content_;
  EXPECT_EQ(fetch(spec(), root(), options_)[0].bytes, content_.size());
  EXPECT_EQ(read_file(file()), content_);
}

TEST_F(Fetch, StoppedByTheCaller) {
  options_.progress = [](const FetchProgress&) { return false; };
  EXPECT_NE(message_of([&] { fetch(spec(), root(), options_); }).find("download stopped"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(file()));
}

TEST_F(Fetch, AWrongDigestLeavesNothing) {
  const std::string other(64, '0');
  const std::string message = message_of([&] { fetch(spec(other), root(), options_); });
  EXPECT_NE(message.find("has SHA-256 " + sha256_hex(content_) + ", expected " + other),
            std::string::npos);
  EXPECT_FALSE(fs::exists(file()));
  EXPECT_FALSE(fs::exists(part()));
  // A file that is there already is never overwritten.
  std::ofstream(file()) << "mine";
  EXPECT_NE(message_of([&] { fetch(spec(), root(), options_); }).find("move it away"),
            std::string::npos);
  EXPECT_EQ(read_file(file()), "mine");
}

TEST_F(Fetch, HttpErrorsNameTheAddress) {
  server_.files.clear();
  const std::string message = message_of([&] { fetch(spec(), root(), options_); });
  EXPECT_NE(message.find(server_.address() + "/publisher.org/a.jsonl: download failed"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("404"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(file()));
}

TEST_F(Fetch, AnErrorOfTheServerPasses) {
  server_.errors = 1;
  const std::string message = message_of([&] { fetch(spec(), root(), options_); });
  EXPECT_NE(message.find("503 (run the command again to go on)"), std::string::npos) << message;
  EXPECT_TRUE(clean());
  EXPECT_EQ(fetch(spec(), root(), options_)[0].state, Fetched::State::fetched);
  EXPECT_EQ(read_file(file()), content_);
}

TEST_F(Fetch, FollowsRedirectionsToTheWebOnly) {
  server_.redirects["/publisher.org/a.jsonl"] = "/elsewhere/b";
  server_.files["/elsewhere/b"] = content_;
  EXPECT_EQ(fetch(spec(), root(), options_)[0].state, Fetched::State::fetched);
  fs::remove(file());
  server_.redirects["/publisher.org/a.jsonl"] = "file:///etc/hosts";
  EXPECT_NE(message_of([&] { fetch(spec(), root(), options_); }).find("Protocol \"file\" not supported"),
            std::string::npos);
  server_.redirects["/publisher.org/a.jsonl"] = "/publisher.org/a.jsonl";
  EXPECT_NE(message_of([&] { fetch(spec(), root(), options_); }).find("redirects"), std::string::npos);
  EXPECT_FALSE(fs::exists(file()));
  EXPECT_TRUE(clean());
}

// Without a published digest nothing would tell two halves of two versions from a file.
TEST_F(Fetch, GoesOnOnlyWithTheSameVersion) {
  const DatasetSpec unknown = spec("");
  server_.tag = "\"v1\"";
  server_.cut_after = 100000;
  EXPECT_THROW(fetch(unknown, root(), options_), Error);
  server_.cut_after = 50000;
  EXPECT_THROW(fetch(unknown, root(), options_), Error);
  EXPECT_EQ(fs::file_size(part()), 150000u);
  server_.tag = "\"v2\"";
  server_.files["/publisher.org/a.jsonl"] = std::string(content_.size(), 'x');
  EXPECT_EQ(fetch(unknown, root(), options_)[0].resumed_from, 0u);
  EXPECT_EQ(read_file(file()), std::string(content_.size(), 'x'));
  EXPECT_EQ(server_.requests.back(), "/publisher.org/a.jsonl 150000");
  EXPECT_TRUE(clean());
  // A server that names no version: from the start.
  fs::remove(file());
  server_.tag.clear();
  server_.cut_after = 100000;
  EXPECT_THROW(fetch(unknown, root(), options_), Error);
  fetch(unknown, root(), options_);
  EXPECT_EQ(server_.requests.back(), "/publisher.org/a.jsonl 0");
}

TEST_F(Fetch, MirrorsAreWebAddresses) {
  options_.mirror = "ftp://mirror";
  EXPECT_NE(message_of([&] { fetch(spec(), root(), options_); }).find("an http or https address"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(root()));
}

TEST_F(Fetch, TwoAtOnceDoNotWriteOneFile) {
  options_.progress = [&](const FetchProgress&) {
    FetchOptions other = options_;
    other.progress = nullptr;
    EXPECT_NE(message_of([&] { fetch(spec(), root(), other); }).find("written by another fetch"), std::string::npos);
    return true;
  };
  fetch(spec(), root(), options_);
  EXPECT_EQ(read_file(file()), content_);
}

TEST_F(Fetch, DryRunTouchesNothing) {
  options_.dry_run = true;
  const auto planned = fetch(spec(), root(), options_);
  EXPECT_EQ(planned[0].state, Fetched::State::would_fetch);
  EXPECT_TRUE(server_.requests.empty());
  EXPECT_TRUE(fs::is_empty(root()));
}

TEST_F(Fetch, StatusAndVerify) {
  DatasetStatus before = status(spec(), root());
  EXPECT_EQ(before.licence, "MIT");
  EXPECT_FALSE(before.present());
  EXPECT_EQ(before.splits.at(0).expected_rows, 40000);
  auto verified = verify(spec(), root());
  ASSERT_EQ(verified.size(), 2u);
  EXPECT_EQ(verified[0].state, Verified::State::missing);
  fetch(spec(), root(), options_);
  EXPECT_TRUE(status(spec(), root()).present());
  verified = verify(spec(), root());
  EXPECT_EQ(verified[0].state, Verified::State::good);
  EXPECT_EQ(verified[1].state, Verified::State::good);
  EXPECT_EQ(verified[1].detail, "40000 rows");
  std::ofstream(file(), std::ios::app) << "{}\n";
  verified = verify(spec(), root());
  EXPECT_EQ(verified[0].state, Verified::State::bad);
  EXPECT_EQ(verified[1].state, Verified::State::bad);
  EXPECT_EQ(verified[1].detail, "40001 rows; toy test: 40001 rows, expected 40000");
}

TEST(Registry, VerbatimFilesOfTheSharedMaterialHaveThePublishedDigests) {
  NEEDS_SHARED();
  size_t good = 0;
  for (const char* task :
       {"bbh", "mmlu_redux", "mgsm", "ccpm", "c3", "gsm8k", "mbpp", "nq", "cruxeval"}) {
    for (const Verified& v : verify(spec_of(task), shared_root())) {
      if (!v.what.starts_with("file ")) continue;
      EXPECT_EQ(v.state, Verified::State::good) << task << " " << v.what << " " << v.detail;
      ++good;
    }
  }
  EXPECT_EQ(good, 54u + 57u + 11u + 3u + 4u + 2u + 2u + 2u + 1u);
}

// Every published file that a task fetches is one that it reads, and its paths say where it lies.
TEST(Registry, WhatIsFetchedIsRead) {
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(test_paths::source() / "tasks/catalog")) {
    const auto document = json::Document::load(entry.path());
    if (!document.root().has("data") || !document.root().at("data").has("splits")) continue;
    const std::string task = entry.path().stem().string();
    const DatasetSpec spec = DatasetSpec::parse(document.root().at("data"), task);
    const DatasetStatus now = status(spec, "/nowhere");
    EXPECT_FALSE(now.home.empty()) << task;
    EXPECT_FALSE(now.licence.empty()) << task;
    EXPECT_TRUE(!now.files.empty() || !now.note.empty()) << task << ": no address and no word why";
    std::vector<std::string> patterns;
    for (const auto& [name, split] : spec.layout().splits) {
      auto all = split.files;
      all.push_back(split.labels_files);
      for (const auto& alternatives : all) {
        for (const FilePattern& file : alternatives) {
          const std::string path = file.pattern.substr(0, file.pattern.find("//"));
          std::vector<Group> groups = spec.all_groups();
          if (path.find("{group") == std::string::npos) groups = {Group{}};
          for (const Group& g : groups)
            patterns.push_back(fill_pattern(path, split.file_name, g.name));
        }
      }
    }
    for (const OriginStatus& file : now.files) {
      EXPECT_TRUE(std::any_of(patterns.begin(), patterns.end(),
                              [&](const std::string& p) { return matches(p, file.to); }))
          << task << " fetches " << file.to << ", which no split reads";
      EXPECT_TRUE(file.sha256.empty() || file.sha256.size() == 64) << task << " " << file.to;
      ++files;
    }
  }
  EXPECT_GT(files, 0u);
}

}  // namespace
}  // namespace assay::datasets
