package native

// Explain shortens the end of a server.
func Explain(err error) error { return explain(err) }

// Args returns the flags of every server, by component.
func Args(config, data, addr string) map[string][]string {
	all := map[string][]string{}
	for _, c := range components() {
		all[c.Name] = c.args(config, data, addr)
	}
	return all
}
