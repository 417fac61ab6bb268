-- name: enter
SELECT set_config('fleet.scope', %(scope)s, true), set_config('fleet.actor', %(actor)s, true),
       set_config('fleet.principal', %(principal)s, true), set_config('fleet.origin', %(origin)s, true);
