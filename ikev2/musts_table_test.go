package ikev2

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testsOfTheTree are the names of all tests and fuzz targets, those of other folders
// with their path from the top, and short where the last element will do.
func testsOfTheTree(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	root := filepath.Join("..")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(rel)
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			found[folder+"."+f.Name.Name] = true
			found[filepath.Base(folder)+"."+f.Name.Name] = true
			if folder == "ikev2" {
				found[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Each row of the tables names a test that is there and says what shows the
// requirement, or why nothing does.
func TestMUSTs(t *testing.T) {
	known := testsOfTheTree(t)
	mentioned := regexp.MustCompile(`\b(?:[a-z0-9/]+\.)?(?:Test|Fuzz)[A-Z][A-Za-z0-9]*\b`)
	for _, table := range []struct {
		file    string
		columns int
		least   int // rows
	}{{"rfc7296-musts.txt", 4, 180}, {"themes.txt", 3, 35}, {"rekey-cases.txt", 4, 49}} {
		data, err := os.ReadFile(filepath.Join("testdata", table.file))
		if err != nil {
			t.Fatal(err)
		}
		rows, line := 0, 0
		for text := range strings.Lines(string(data)) {
			line++
			text = strings.TrimSpace(text)
			if text == "" || strings.HasPrefix(text, "#") {
				continue
			}
			rows++
			cells := strings.Split(text, "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			if len(cells) != table.columns {
				t.Errorf("%s:%d: %d columns", table.file, line, len(cells))
				continue
			}
			test, shows := cells[table.columns-2], cells[table.columns-1]
			switch {
			case shows == "":
				t.Errorf("%s:%d says neither what shows it nor why nothing does", table.file, line)
			case test != "-" && !known[test]:
				t.Errorf("%s:%d: there is no test %s", table.file, line, test)
			}
			for _, name := range mentioned.FindAllString(shows, -1) {
				if !known[name] && !known["message."+name] {
					t.Errorf("%s:%d: there is no test %s", table.file, line, name)
				}
			}
		}
		if rows < table.least {
			t.Errorf("%s has %d rows, want %d at least", table.file, rows, table.least)
		}
	}
}
