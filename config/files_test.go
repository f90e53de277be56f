package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func loadFiles(files Files) (*Config, Findings) {
	return Load("/etc/racoon2.conf", Options{FS: files, LookupEnv: func(name string) (string, bool) { return "peers", name == "DIR" }})
}

func TestInclude(t *testing.T) {
	c, fs := loadFiles(Files{
		"/etc/racoon2.conf":    `setval S "c.d"; include "$[DIR]/*.conf"; include "/etc/last.conf"; include "${S}/x";`,
		"/etc/peers/b.conf":    minimal,
		"/etc/peers/a.conf":    `include "sub/a.inc";`,
		"/etc/peers/sub/a.inc": `policy a { action none; };`,
		"/etc/peers/c.other":   `broken`,
		"/etc/last.conf":       `policy z { action discard; };`,
		"/etc/c.d/x":           `policy x { action discard; };`,
	})
	if fs.HasErrors() {
		t.Fatalf("findings:\n%s", report(fs))
	}
	want := "/etc/racoon2.conf /etc/peers/a.conf /etc/peers/sub/a.inc /etc/peers/b.conf /etc/last.conf /etc/c.d/x"
	if got := strings.Join(c.Files, " "); got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	if len(c.Policies) != 4 || c.Policies[0].Name != "a" || c.Policies[0].Pos.File != "/etc/peers/sub/a.inc" {
		t.Errorf("policies: %+v", c.Policies)
	}
}

func TestIncludeBounds(t *testing.T) {
	loop := Files{"/etc/racoon2.conf": `include "a";`, "/etc/a": `include "b";`, "/etc/b": `include "a"; include "*";`}
	deep := Files{"/etc/racoon2.conf": `include "1";`}
	for i := 1; i <= maxIncludeDepth; i++ {
		deep[fmt.Sprintf("/etc/%d", i)] = fmt.Sprintf("include \"%d\";", i+1)
	}
	many := Files{"/etc/racoon2.conf": `include "d/*"; include "d/*";`}
	for i := range maxFiles/2 + 10 {
		many[fmt.Sprintf("/etc/d/%d", i)] = ""
	}
	// Each file includes all others, which would be read more often than there are atoms.
	all := Files{"/etc/racoon2.conf": `include "*";`}
	for i := range 20 {
		all[fmt.Sprintf("/etc/%d", i)] = `include "*";`
	}
	for _, test := range []struct {
		name, code string
		files      Files
	}{
		{"loop", "include-loop", loop}, {"deep", "include-depth", deep}, {"many", "too-many-files", many},
		{"all", "too-many-files", all}, {"missing", "unreadable-file", Files{}},
		{"large", "unreadable-file", Files{"/etc/racoon2.conf": strings.Repeat(" ", maxFileSize+1)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, fs := loadFiles(test.files)
			if c == nil || !fs.HasErrors() || !strings.Contains(codes(fs), test.code) {
				t.Errorf("want %s, got:\n%.2000s", test.code, report(fs))
			}
		})
	}
}

// codes are the codes of the findings with their places.
func codes(fs Findings) string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Pos.String()+" "+f.Code)
	}
	return strings.Join(out, "\n")
}

func TestFileRules(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	open := write("open", minimal, 0o644)
	if _, fs := Load(open, Options{}); len(fs) != 0 {
		t.Errorf("a readable configuration:\n%s", report(fs))
	}
	if _, fs := Load(write("writable", minimal, 0o666), Options{}); !strings.Contains(report(fs), "its mode is 0666: anybody can change it; make it 0644") {
		t.Errorf("a configuration that anybody can write:\n%s", report(fs))
	}
	if _, fs := Load(dir, Options{}); !strings.Contains(report(fs), "not a regular file") {
		t.Errorf("a directory:\n%s", report(fs))
	}
	_, fs := Load(filepath.Join(dir, "nowhere"), Options{})
	if got := report(fs); !strings.Contains(got, "no such file") || !strings.Contains(got, "[unreadable-file]\n    hint: -c FILE") {
		t.Errorf("a missing file:\n%s", got)
	}
	secret := write("psk", "secret", 0o600)
	if err := CheckSecretFile(secret); err != nil {
		t.Errorf("a good secret: %v", err)
	}
	if err := CheckSecretFile(open); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Errorf("a readable secret: %v", err)
	}
	if err := CheckSecretFile(dir); err == nil {
		t.Error("a directory is no secret")
	}
	if err := CheckSecretFile(filepath.Join(dir, "nowhere")); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("a missing secret: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to give files away")
	}
	if err := os.Chown(open, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, fs := Load(open, Options{}); !strings.Contains(report(fs), "belongs to user 65534") {
		t.Errorf("a stranger's file:\n%s", report(fs))
	}
	if _, fs := Load(open, Options{AnyOwner: true}); len(fs) != 0 {
		t.Errorf("with AnyOwner:\n%s", report(fs))
	}
	if err := os.Chown(secret, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := CheckSecretFile(secret); err == nil || !strings.Contains(err.Error(), "65534") {
		t.Errorf("a stranger's secret: %v", err)
	}
}

// TestHostileSizes loads what is made to take memory and time.
func TestHostileSizes(t *testing.T) {
	many := strings.Repeat("selector a { src 1; };\n", 20_000)
	var symbols strings.Builder
	symbols.WriteString("setval {\n")
	for i := range 20_000 {
		fmt.Fprintf(&symbols, "S%d \"${S%d}${S%d}\";\n", i, i+1, i+1)
	}
	symbols.WriteString("};\n" + strings.Repeat("remote \"${S0}\" { };\n", 5000))
	for name, text := range map[string]string{
		"findings": many,
		"symbols":  symbols.String(),
		"braces":   strings.Repeat("a {", 1<<18),
		"closing":  strings.Repeat("};", 1<<18),
		"word":     "remote " + strings.Repeat("x", 1<<20) + " { };",
		"quotes":   strings.Repeat(`"`, 1<<18),
		"words":    strings.Repeat("x ", 1<<18),
		"dollars":  `remote "` + strings.Repeat("${", 1<<18) + `" { };`,
	} {
		t.Run(name, func(t *testing.T) {
			_, fs := one(t, text)
			if !fs.HasErrors() || len(fs) > 3*(maxFindings+1) {
				t.Errorf("%d findings", len(fs))
			}
			if n := len(report(fs)); n > 8<<20 {
				t.Errorf("the report has %d octets", n)
			}
		})
	}
}
