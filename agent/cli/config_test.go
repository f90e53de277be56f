package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"racoon2/config"
)

func TestConfigShow(t *testing.T) {
	dir := t.TempDir()
	conf := configure(t, dir)
	status, out, errs := run("config", "show", "-c", conf)
	if status != 0 || errs != "" || !strings.Contains(out, "my_id fqdn \"a.example\";") || strings.Contains(out, "built-in") {
		t.Errorf("status %d, %q\n%s", status, errs, out)
	}
	status, out, errs = run("config", "show", "--effective", "-c", conf)
	if status != 0 || errs != "" || !strings.Contains(out, "dpd_delay 60;") || !strings.Contains(out, "# built-in") || !strings.Contains(out, "# "+conf+":") {
		t.Errorf("status %d, %q\n%s", status, errs, out)
	}
	status, out, errs = run("config", "show", "--effective", "--json", "-c", conf)
	var lines []config.ShownLine
	if err := json.Unmarshal([]byte(out), &lines); status != 0 || errs != "" || err != nil || !slices.ContainsFunc(lines, func(l config.ShownLine) bool {
		return l.Depth == 2 && l.Text == "dpd_delay 60;" && l.Origin == "built-in"
	}) {
		t.Errorf("status %d, %q %v\n%s", status, errs, err, out)
	}
	broken := write(t, dir, "broken.conf", "remote x {\n\tikev3 { };\n};\n")
	status, out, errs = run("config", "show", "-c", broken)
	if status != 2 || !strings.Contains(out, "remote x {") || !strings.Contains(errs, "unknown-directive") {
		t.Errorf("status %d\n%s\n%s", status, out, errs)
	}
}

func TestConfigFmt(t *testing.T) {
	dir := t.TempDir()
	const ugly, fair = "a{b;# c\n};", "a {\n\tb; # c\n};\n"
	conf := write(t, dir, "a.conf", ugly)
	if err := os.Chmod(conf, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.conf")
	if err := os.Symlink("a.conf", link); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := run("config", "fmt", conf); status != 0 || out != fair {
		t.Errorf("status %d: %q", status, out)
	}
	if status, out, _ := run("config", "fmt", "-l", conf, link); status != 1 || out != conf+"\n"+link+"\n" {
		t.Errorf("-l: status %d: %q", status, out)
	}
	if status, out, errs := run("config", "fmt", "-w", "-c", link); status != 0 || out != "" {
		t.Errorf("-w: status %d: %q %q", status, out, errs)
	}
	data, err := os.ReadFile(conf)
	info, _ := os.Stat(conf)
	if err != nil || string(data) != fair || info.Mode().Perm() != 0o640 {
		t.Errorf("written: %q, %v, %v", data, info.Mode(), err)
	}
	if l, err := os.Lstat(link); err != nil || l.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link: %v, %v", l, err)
	}
	if status, out, _ := run("config", "fmt", "-l", conf); status != 0 || out != "" {
		t.Errorf("-l afterwards: status %d: %q", status, out)
	}
	broken := write(t, dir, "broken.conf", "a {")
	if status, out, errs := run("config", "fmt", "-w", broken); status != 2 || out != "" || !strings.Contains(errs, "unclosed-block") {
		t.Errorf("broken: status %d: %q %q", status, out, errs)
	}
	other := write(t, dir, "other.conf", ugly)
	if status, out, errs := run("config", "fmt", filepath.Join(dir, "none"), dir, other); status != 2 || out != fair ||
		!strings.Contains(errs, "none cannot be read: no such file") || !strings.Contains(errs, "not a regular file") {
		t.Errorf("no file, a directory and a file: status %d, %q, %q", status, out, errs)
	}
	if status, _, errs := run("config", "fmt", "-w", "-l", conf); status != 2 || !strings.Contains(errs, "exclude") {
		t.Errorf("-w -l: status %d, %q", status, errs)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".racoon2-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestConfigExplain(t *testing.T) {
	status, out, _ := run("config", "explain", "dpd_delay")
	for _, want := range []string{"dpd_delay NUMBER", "default   60", "seconds", "has an effect", "dpd_delay 5 min;"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("status %d, without %q:\n%s", status, want, out)
		}
	}
	for _, d := range config.Directives() {
		if status, out, errs := run("config", "explain", d.Name); status != 0 || errs != "" || !strings.Contains(out, d.Name+" ") {
			t.Errorf("%s: status %d, %q\n%s", d.Name, status, errs, out)
		}
	}
	if status, _, errs := run("config", "explain", "dpd_dellay"); status != 2 || !strings.Contains(errs, "did you mean dpd_delay?") {
		t.Errorf("status %d, %q", status, errs)
	}
	for _, args := range [][]string{{"config", "explain"}, {"config", "explain", "kmp_enc_alg"}, {"config", "explain", "policy"}} {
		_, out, _ = run(args...)
		for line := range strings.Lines(out) {
			if len([]rune(strings.TrimRight(line, "\n"))) > width {
				t.Errorf("%v: a wide line: %s", args, line)
			}
		}
	}
	var rows []config.Directive
	if status, out, _ = run("config", "explain", "--json"); status != 0 || json.Unmarshal([]byte(out), &rows) != nil || len(rows) != len(config.Directives()) {
		t.Errorf("status %d, %d rows", status, len(rows))
	}
}

// TestConfManual holds that the manual page knows each word.
func TestConfManual(t *testing.T) {
	text := confManual()
	for _, d := range config.Directives() {
		if !strings.Contains(text, "\n\\fB"+roff(d.Name)+"\\fR ") {
			t.Errorf("%s is not in the manual", d.Name)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, ".") && !slices.Contains([]string{".TH", ".SH", ".TP", ".PP", ".BR"}, line[:3]) {
			t.Errorf("no macro: %q", line)
		}
	}
}

// TestCheckShowsTheLine holds that a finding about a key file points at the
// directive, in check and in run alike.
func TestCheckShowsTheLine(t *testing.T) {
	dir := t.TempDir()
	conf := configure(t, dir)
	if err := os.Chmod(filepath.Join(dir, "psk"), 0o644); err != nil {
		t.Fatal(err)
	}
	status, out, _ := run("check", "-c", conf)
	want := "\t\tpre_shared_key \"" + dir + "/psk\";\n    \t\t^"
	if status != 2 || !strings.Contains(out, want) {
		t.Errorf("check: status %d, without %q:\n%s", status, want, out)
	}
	status, _, errs := run("run", "-c", conf, "--run-dir", filepath.Join(dir, "run"), "--kernel", "userspace")
	if status != 2 || !strings.Contains(errs, want) {
		t.Errorf("run: status %d, without %q:\n%s", status, want, errs)
	}
}
