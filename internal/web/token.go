package web

import (
	"crypto/subtle"
	"net/http"
)

// RequireToken refuses requests without the header "Authorization: Bearer TOKEN". A page of
// another site cannot send the header (Fetch Standard, CORS-unsafe request headers), and
// does not know the token.
func RequireToken(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			Fail(w, &Problem{Status: http.StatusUnauthorized,
				Detail: "This takes the token of the lab, from the file control-token in its data directory, as: Authorization: Bearer TOKEN."})
			return
		}
		next.ServeHTTP(w, r)
	})
}
