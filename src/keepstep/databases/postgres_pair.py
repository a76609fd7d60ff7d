"""What one role of a pair may do, or begins with, and the other does not, in one query.

Every line of its answer is the statement that gives it. A right counts as there however the other role has it: by
itself, by a membership, or because everybody has it. Only the database of the session is looked at, apart from
roles and their settings, which all databases share. What pg_hba.conf says of users by name cannot be seen.
"""

# ruff: noqa: S608 - the parts that these queries are put together from are constants

from __future__ import annotations

_LISTS = "'search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries'"
"""Settings whose value is a list of names, which pg_dump does not put in quotes either."""

_OPTION = "CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"
_WANTED = "x.privilege_type || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"


def _granted(catalogue: str, acl: str, what: str, has: str, where: str = "true") -> str:
    """Rights that are given to the first role itself, on the things of one catalogue."""
    return f"""
SELECT 'GRANT ' || x.privilege_type || ' ON {what} TO ' || p.name || {_OPTION}
  FROM pair p, {catalogue} o, aclexplode(o.{acl}) x
 WHERE x.grantee = p.a AND ({where}) AND NOT {has}"""


def _owned(catalogue: str, owner: str, where: str = "true") -> str:
    return f"""
SELECT DISTINCT 'GRANT ' || p.theirs || ' TO ' || p.name
  FROM pair p, {catalogue} o
 WHERE o.{owner} = p.a AND ({where}) AND NOT pg_has_role(p.b, p.a, 'USAGE')"""


_SETTING = f"""
SELECT 'ALTER ROLE ' || p.name || coalesce(' IN DATABASE ' || quote_ident(d.datname), '') || ' SET '
       || split_part(s.line, '=', 1) || ' = ' || CASE WHEN split_part(s.line, '=', 1) IN ({_LISTS})
       THEN substr(s.line, strpos(s.line, '=') + 1) ELSE quote_literal(substr(s.line, strpos(s.line, '=') + 1)) END
  FROM pair p, settings s LEFT JOIN pg_database d ON d.oid = s.setdatabase
 WHERE s.setrole = p.a
   AND NOT EXISTS (SELECT FROM settings o
                    WHERE o.setrole = p.b AND o.setdatabase = s.setdatabase AND o.line = s.line)
"""

_ROLES = """
SELECT 'ALTER ROLE ' || p.name || ' ' || word
  FROM pair p JOIN pg_roles a ON a.oid = p.a JOIN pg_roles b ON b.oid = p.b,
       LATERAL (VALUES ('SUPERUSER', a.rolsuper AND NOT b.rolsuper),
                       ('CREATEDB', a.rolcreatedb AND NOT b.rolcreatedb),
                       ('CREATEROLE', a.rolcreaterole AND NOT b.rolcreaterole),
                       ('REPLICATION', a.rolreplication AND NOT b.rolreplication),
                       ('BYPASSRLS', a.rolbypassrls AND NOT b.rolbypassrls),
                       ('INHERIT', a.rolinherit AND NOT b.rolinherit),
                       ('CONNECTION LIMIT ' || a.rolconnlimit,
                        b.rolconnlimit >= 0 AND (a.rolconnlimit < 0 OR a.rolconnlimit > b.rolconnlimit))
               ) AS v(word, is_missing)
 WHERE is_missing
UNION ALL
SELECT 'GRANT ' || quote_ident(r.rolname) || ' TO ' || p.name
  FROM pair p JOIN pg_auth_members m ON m.member = p.a JOIN pg_roles r ON r.oid = m.roleid
 WHERE m.roleid <> p.b AND (NOT pg_has_role(p.b, m.roleid, 'MEMBER')
       OR (pg_has_role(p.a, m.roleid, 'USAGE') AND NOT pg_has_role(p.b, m.roleid, 'USAGE')))
"""

_DEFAULTS = """
SELECT 'ALTER DEFAULT PRIVILEGES FOR ROLE ' || quote_ident(r.rolname)
       || coalesce(' IN SCHEMA ' || quote_ident(n.nspname), '') || ' GRANT ' || x.privilege_type || ' ON '
       || CASE o.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
          WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END || ' TO ' || p.name
  FROM pair p, pg_default_acl o JOIN pg_roles r ON r.oid = o.defaclrole
       LEFT JOIN pg_namespace n ON n.oid = o.defaclnamespace, aclexplode(o.defaclacl) x
 WHERE x.grantee = p.a AND o.defaclrole <> p.a AND NOT EXISTS (
       SELECT FROM aclexplode(o.defaclacl) y WHERE y.privilege_type = x.privilege_type
          AND (y.grantee = 0 OR pg_has_role(p.b, nullif(y.grantee, 0), 'USAGE')))
"""

_POLICIES = """
SELECT 'ALTER POLICY ' || quote_ident(o.polname) || ' ON ' || o.polrelid::regclass || ' TO '
       || (SELECT string_agg(quote_ident(r.rolname), ', ') FROM pg_roles r WHERE r.oid = ANY (o.polroles))
       || ', ' || p.name
  FROM pair p, pg_policy o
 WHERE p.a = ANY (o.polroles) AND NOT EXISTS (
       SELECT FROM unnest(o.polroles) AS one(role) WHERE role <> 0 AND pg_has_role(p.b, role, 'USAGE'))
"""

_TABLES = "o.relkind IN ('r', 'v', 'm', 'f', 'p')"
_OBJECTS = (
    _granted(
        "pg_class",
        "relacl",
        "TABLE ' || o.oid::regclass || '",
        f"has_table_privilege(p.b, o.oid, {_WANTED})",
        _TABLES,
    ),
    _granted(
        "pg_class",
        "relacl",
        "SEQUENCE ' || o.oid::regclass || '",
        f"has_sequence_privilege(p.b, o.oid, {_WANTED})",
        "o.relkind = 'S'",
    ),
    f"""
SELECT 'GRANT ' || x.privilege_type || ' (' || quote_ident(o.attname) || ') ON TABLE ' || o.attrelid::regclass
       || ' TO ' || p.name || {_OPTION}
  FROM pair p, pg_attribute o, aclexplode(o.attacl) x
 WHERE x.grantee = p.a AND NOT o.attisdropped AND NOT has_column_privilege(p.b, o.attrelid, o.attnum, {_WANTED})""",
    _granted(
        "pg_namespace",
        "nspacl",
        "SCHEMA ' || quote_ident(o.nspname) || '",
        f"has_schema_privilege(p.b, o.oid, {_WANTED})",
    ),
    _granted(
        "pg_database",
        "datacl",
        "DATABASE ' || quote_ident(o.datname) || '",
        f"has_database_privilege(p.b, o.oid, {_WANTED})",
    ),
    _granted(
        "pg_proc",
        "proacl",
        "ROUTINE ' || o.oid::regprocedure || '",
        f"has_function_privilege(p.b, o.oid, {_WANTED})",
    ),
    _granted("pg_type", "typacl", "TYPE ' || o.oid::regtype || '", f"has_type_privilege(p.b, o.oid, {_WANTED})"),
    _granted(
        "pg_foreign_server",
        "srvacl",
        "FOREIGN SERVER ' || quote_ident(o.srvname) || '",
        f"has_server_privilege(p.b, o.oid, {_WANTED})",
    ),
    _owned("pg_class", "relowner", f"{_TABLES} OR o.relkind = 'S'"),
    _owned("pg_namespace", "nspowner"),
    _owned("pg_database", "datdba"),
    _owned("pg_proc", "proowner"),
)

MISSING = f"""
WITH pair AS (
       SELECT a.oid AS a, b.oid AS b, quote_ident(a.rolname) AS theirs, quote_ident(b.rolname) AS name
         FROM pg_roles a, pg_roles b WHERE a.rolname = %s AND b.rolname = %s),
     settings AS (SELECT setrole, setdatabase, unnest(setconfig) AS line FROM pg_db_role_setting)
SELECT DISTINCT line FROM ({" UNION ALL ".join((_ROLES, _SETTING, *_OBJECTS, _DEFAULTS, _POLICIES))}) AS lines(line)
 ORDER BY line
"""
"""Takes the name of the role that is compared with, then that of the role that may lack something."""
