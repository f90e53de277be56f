package agent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "racoon2"

// room is a package, or with /... a folder of packages, with what it may import
// of ours. The first that fits a package counts.
type room struct {
	name    string
	imports []string
	why     string
}

// rooms hold the direction of imports: main → agent/cli → agent → config,
// policy, resolver, ikev2, kink, kernel/*; policy, ikev2 and kink → kernel → ikev2/transform.
var rooms = []room{
	{".", []string{"agent/cli"}, "the commands are everything"},
	{"agent/cli", []string{"agent", "agent/logging", "config", "config/convert", "policy/spmif"}, "prints findings and asks a running agent"},
	{"agent/logging", []string{"kernel/trace"}, "logs what cores trace"},
	{"agent/sim", []string{"agent", "config", "ikev2", "ikev2/...", "kernel", "kernel/fake", "kernel/trace", "kink", "kink/kerberos", "kink/message", "policy"}, "runs the real cores"},
	{"agent/integration", []string{"..."}, "tests of the whole program"},
	{"agent", []string{"agent/logging", "config", "policy", "policy/spmif", "resolver", "resolver/dns", "ikev2", "ikev2/message", "ikev2/transform", "kink", "kink/kerberos", "kernel", "kernel/..."}, "the process"},
	{"config/convert", []string{"config"}, "writes racoon2.conf"},
	{"config", []string{"ikev2/transform"}, "the registries' names"},
	{"ikev2/transform", nil, "a leaf"},
	{"ikev2/message", []string{"ikev2/transform"}, "the wire has transform identifiers"},
	{"ikev2/...", []string{"ikev2/message", "ikev2/transform"}, "parts of the engine"},
	{"ikev2", []string{"ikev2/...", "kernel", "kernel/trace"}, "the engine speaks kernel's vocabulary"},
	{"policy/spmif", nil, "a codec and a session"},
	{"policy", []string{"kernel", "kernel/timer", "kernel/trace"}, "the policy manager speaks kernel's vocabulary"},
	{"kink/message", nil, "the wire of KINK"},
	{"kink/isakmp", []string{"ikev2/transform", "kernel", "kink/message"}, "the IPsec DOI's numbers"},
	{"kink/kerberos", []string{"kernel/trace", "kink"}, "satisfies what the engine asks of Kerberos"},
	{"kink", []string{"kink/message", "kink/isakmp", "ikev2/transform", "kernel", "kernel/trace"}, "the engine speaks kernel's vocabulary"},
	{"resolver/dns", []string{"resolver", "kernel/trace"}, "sockets and messages around the core"},
	{"resolver", []string{"kernel/timer", "kernel/trace"}, "the core of names"},
	{"kernel/trace", nil, "a leaf"},
	{"kernel/timer", nil, "a leaf"},
	{"kernel", []string{"ikev2/transform"}, "SAs name algorithms"},
	{"kernel/netlink", nil, "a codec and a socket"},
	{"kernel/netlink/...", []string{"kernel/netlink", "kernel/netlink/..."}, "families on top of the codec"},
	{"kernel/kerneltest/netlab", []string{"kernel/netlink", "kernel/netlink/..."}, "networks for tests"},
	{"kernel/...", []string{"kernel", "ikev2/transform", "kernel/netlink", "kernel/netlink/...", "kernel/pump", "kernel/trace"}, "a backend, or what backends share"},
}

// outside says who may import which module that is not ours.
var outside = map[string][]string{
	"golang.org/x/sys/unix": {"agent", "kernel/...", "resolver/dns"}, // the last: several packages a call
	"golang.org/x/crypto":   {"ikev2/transform", "kink/kerberos"},
	"golang.org/x/net":      {"resolver/dns"},
	"filippo.io/bigmod":     {"ikev2/transform"},
	"github.com/spf13":      {"agent/cli"},
	"github.com/miekg/dns":  {"resolver/dns"},
	"github.com/jcmturner":  {"kink/kerberos"},
}

// cores are sans-IO: their only differences between two runs are handed in.
var cores = []string{"ikev2", "ikev2/...", "policy", "policy/spmif", "resolver", "kink", "kink/message", "kink/isakmp", "kernel", "kernel/timer", "kernel/trace"}

// worldly are packages that a core cannot want.
var worldly = []string{"net", "os", "os/...", "syscall", "golang.org/x/sys/...", "log", "log/...", "math/rand", "math/rand/...", "net/http", "sync"}

// entropy is where a core may use the system's random source: keys of jobs, as
// Go 1.26's ecdh takes no other.
const entropy = "ikev2/transform"

// fits says whether a package is among patterns: "a", "a/..." or "...".
func fits(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if below, ok := strings.CutSuffix(p, "..."); ok {
			return strings.HasPrefix(pkg, below)
		}
		return pkg == p
	})
}

// source is one package as the test reads it: without its tests, for every
// operating system at once.
type source struct {
	files []*ast.File
	names []string
	fset  *token.FileSet
}

// packages reads all packages of the module by folder.
func packages(t *testing.T) map[string]*source {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]*source)
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name == "testdata" || name != "." && strings.HasPrefix(name, ".") && file != root {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		if out[pkg] == nil {
			out[pkg] = &source{fset: token.NewFileSet()}
		}
		f, err := parser.ParseFile(out[pkg].fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		out[pkg].files = append(out[pkg].files, f)
		out[pkg].names = append(out[pkg].names, path.Join(pkg, name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestImports(t *testing.T) {
	for pkg, src := range packages(t) {
		i := slices.IndexFunc(rooms, func(r room) bool { return fits(pkg, []string{r.name}) })
		if i < 0 {
			t.Errorf("package %s is in no room: add it to the table with a reason", pkg)
			continue
		}
		for n, f := range src.files {
			for _, spec := range f.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				checkImport(t, pkg, rooms[i], src.names[n], imported)
			}
		}
	}
}

func checkImport(t *testing.T, pkg string, r room, file, imported string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		if !fits(ours, r.imports) {
			t.Errorf("%s imports %s; room %s may import %v of ours (%s)", file, ours, r.name, r.imports, r.why)
		}
		return
	}
	if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
		allowed := false
		for prefix, who := range outside {
			allowed = allowed || strings.HasPrefix(imported, prefix) && fits(pkg, who)
		}
		if !allowed {
			t.Errorf("%s imports %s, which is not for it", file, imported)
		}
	}
	if !fits(pkg, cores) {
		return
	}
	if fits(imported, worldly) || imported == "crypto/rand" && pkg != entropy {
		t.Errorf("%s, in a core, imports %s", file, imported)
	}
}

// clock are the functions of package time that look at a clock of their own.
var clock = []string{"Now", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker", "Since", "Until"}

func TestCoresHaveNoWorldOfTheirOwn(t *testing.T) {
	for pkg, src := range packages(t) {
		if !fits(pkg, cores) {
			continue
		}
		for i, f := range src.files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%s:%d starts a goroutine in a core", src.names[i], src.fset.Position(n.Pos()).Line)
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
						t.Errorf("%s:%d uses time.%s in a core", src.names[i], src.fset.Position(n.Pos()).Line, n.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// TestCoresHaveNoGlobalState finds variables of a package that something in it
// changes. Tables and error values, which nothing changes, are fine.
func TestCoresHaveNoGlobalState(t *testing.T) {
	for pkg, src := range packages(t) {
		if !fits(pkg, cores) {
			continue
		}
		vars := packageVars(t, src)
		for i, f := range src.files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					for _, target := range changed(n) {
						if name := rootName(target); vars[name] && !declares(fn, name) {
							t.Errorf("%s:%d changes the package's variable %s", src.names[i], src.fset.Position(n.Pos()).Line, name)
						}
					}
					return true
				})
			}
		}
	}
}

// packageVars lists the variables of a package; those that only make sense when
// something changes them are reported at once.
func packageVars(t *testing.T, src *source) map[string]bool {
	t.Helper()
	vars := make(map[string]bool)
	for i, f := range src.files {
		for _, d := range f.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, s := range gen.Specs {
				spec := s.(*ast.ValueSpec)
				for _, name := range spec.Names {
					if name.Name == "_" {
						continue
					}
					vars[name.Name] = true
					if len(spec.Values) == 0 {
						t.Errorf("%s: the package's variable %s has no value until something changes it", src.names[i], name.Name)
					}
				}
			}
		}
	}
	return vars
}

// changed lists what a statement assigns to or takes the address of.
func changed(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear") && len(n.Args) > 0 {
			return n.Args[:1]
		}
	}
	return nil
}

// rootName is the variable behind an expression: x of x.y[z].
func rootName(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return ""
		}
	}
}

// declares says whether a function has a parameter or a variable of that name.
func declares(fn *ast.FuncDecl, name string) bool {
	found := false
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				found = found || id.Name == name
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					found = found || rootName(e) == name
				}
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				found = found || id.Name == name
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				found = found || n.Key != nil && rootName(n.Key) == name || n.Value != nil && rootName(n.Value) == name
			}
		}
		return true
	})
	return found
}

func TestPackagesAreDocumented(t *testing.T) {
	for pkg, src := range packages(t) {
		documented := slices.ContainsFunc(src.files, func(f *ast.File) bool {
			return f.Doc != nil && len(f.Doc.Text()) > 40
		})
		if !documented {
			t.Errorf("package %s has no comment that says what it owns", pkg)
		}
	}
}

// maxLines keeps files to what can be read at one sitting.
const maxLines = 800

func TestFilesAreShort(t *testing.T) {
	for _, src := range packages(t) {
		for i, f := range src.files {
			if n := src.fset.Position(f.End()).Line; n > maxLines {
				t.Errorf("%s has %d lines, more than %d", src.names[i], n, maxLines)
			}
		}
	}
}
