package config

// Options are the outside world as Load sees it. The zero value is the real one.
type Options struct {
	// FS is where files come from; nil is the operating system's.
	FS FileSystem
	// LookupEnv finds environment variables for $[NAME]; nil is os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// AnyOwner switches off the rule that each file must belong to the running user.
	AnyOwner bool
}
