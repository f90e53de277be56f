// Package config reads racoon2.conf and turns it into a typed, checked model.
//
// It owns the language: lexer, parser (a concrete syntax tree with positions
// and comments), include, setval substitution, inheritance from the default
// section, the names of algorithms and protocols, the checks that need nothing
// but the text, and the findings that explain what is wrong. Load does all of
// it in one go and reports everything that it finds.
//
// It never reads a secret: the model holds the paths of key files, and
// CheckSecretFile says whether such a file is safe to read. It never expands an
// address macro, resolves a name or asks a kernel, and nothing in it knows what
// an engine does with a value. Of racoon2 it imports only the registry names of
// ikev2/transform, and only agent imports it.
//
// Algorithms are those of RFC 7296 §3.3.2 and the registries behind it; what
// RFC 8247 (IKE) and RFC 8221 (ESP) call weak is warned about.
//
// Where the original is silently odd this package does what a reader expects:
// `infinite` and 0 mean what they say; pre_shared_key and public keys are
// inherited from default too; a relative include is looked for beside the file
// that includes it; keywords are words like any other where a name may stand.
//
// Beyond reading it shows a configuration with its origins (Show), lays a file
// out anew (Format), explains each word (Explain, Reference) and compares two
// configurations (Diff). What the original does not have is marked in
// model_extensions.go.
//
// Known limits: IKEv1 blocks are read and reported as not built; a
// list inside one quoted value is not split.
package config
