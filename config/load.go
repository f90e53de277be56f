package config

import (
	"os"
	"path/filepath"
	"slices"
)

// Options are the outside world as Load sees it. The zero value is the real one.
type Options struct {
	// FS is where files come from; nil is the operating system's.
	FS FileSystem
	// LookupEnv finds environment variables for $[NAME]; nil is os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// AnyOwner switches off the rule that each file must belong to the running user,
	// and must not be writable by everybody.
	AnyOwner bool

	maxFiles int // how many files are read at the most; 0 is the package's bound
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = osFiles{}
	}
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.maxFiles == 0 {
		o.maxFiles = maxFiles
	}
	return o
}

// Load reads the configuration at path with everything that it includes. It
// reports all that is wrong in one go. The Config is never nil; where the
// findings have errors it holds what could be understood and is not to be run.
func Load(path string, opts Options) (*Config, Findings) {
	r := load(path, opts, nil)
	return r.config, slices.Clip(r.report.sorted())
}

// load is Load with what the model was made from; the statements go to keep
// where it is not nil.
func load(path string, opts Options, keep *[]*Statement) *resolver {
	g := newGatherer(opts.withDefaults(), newReporter())
	g.file(filepath.Clean(path), Pos{}, nil)
	r := newResolver(g)
	r.config.Path = path
	r.config.Files = g.files
	if keep != nil {
		*keep = slices.Clone(g.sections)
	}
	r.collect(g.sections)
	r.build()
	return r
}
