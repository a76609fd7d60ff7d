"""What is asked of Oracle's dictionary.

Views and columns: Oracle Database Reference 19c, "Static Data Dictionary Views". Names are literals made by
:func:`keepstep.databases.oracle_names.text`; numbers come back as text.
"""

from __future__ import annotations

LOCK = """
BEGIN
  IF SYS.DBMS_LOCK.REQUEST({number}, SYS.DBMS_LOCK.X_MODE, 0, FALSE) NOT IN (0, 4) THEN
    RAISE_APPLICATION_ERROR(-20990, 'held by another session');
  END IF;
END;
"""
"""0: granted; 4: this session has it. Numbers of the release's own PL/SQL Packages Reference, DBMS_LOCK."""

ACCOUNT = """
SELECT u.account_status, TO_CHAR((SYSDATE - u.password_change_date) * 86400), u.authentication_type, u.profile
  FROM sys.dba_users u
 WHERE u.username = {name}
"""
OWN_ACCOUNT = "SELECT u.account_status, NULL, 'PASSWORD', NULL FROM user_users u"

LIMITS = """
SELECT p.resource_name, DECODE(p.limit, 'DEFAULT', d.limit, p.limit)
  FROM sys.dba_users u
  JOIN sys.dba_profiles p ON p.profile = u.profile AND p.resource_type = 'PASSWORD'
  LEFT JOIN sys.dba_profiles d ON d.profile = 'DEFAULT' AND d.resource_name = p.resource_name
 WHERE u.username = {name}
"""
OWN_LIMITS = "SELECT l.resource_name, l.limit FROM user_password_limits l"

ROLES = "SELECT r.granted_role, r.default_role, r.admin_option FROM sys.dba_role_privs r WHERE r.grantee = {name}"
OWN_ROLES = "SELECT r.granted_role, r.default_role, r.admin_option FROM user_role_privs r"

PRIVILEGES = "SELECT s.privilege FROM session_privs s"
"""Of the session itself, by its roles too."""

STANDING = """
SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE'), (
       SELECT TO_CHAR(COUNT(*)) FROM all_procedures p
        WHERE p.owner = 'SYS' AND p.object_name = 'DBMS_LOCK' AND p.procedure_name = 'REQUEST')
  FROM dual
"""
"""All users may ask; ALL_PROCEDURES has what the session may execute."""

_EVERYWHERE = """{name}, 'PUBLIC') OR g.grantee IN (
       SELECT r.granted_role FROM sys.dba_role_privs r
        START WITH r.grantee = {name} CONNECT BY PRIOR r.granted_role = r.grantee"""
SYSTEM_RIGHTS = "SELECT g.privilege, g.admin_option FROM sys.dba_sys_privs g WHERE g.grantee IN ({who})"
OBJECT_RIGHTS = (
    "SELECT g.privilege, g.owner, g.table_name, g.type, g.grantable FROM sys.dba_tab_privs g"
    " WHERE g.grantee IN ({who})"
)
COLUMN_RIGHTS = (
    "SELECT g.privilege, g.owner, g.table_name, g.column_name, g.grantable FROM sys.dba_col_privs g"
    " WHERE g.grantee IN ({who})"
)


def of_itself(query: str, name: str) -> str:
    """The rights that were given to the user by name; ``name`` is a literal."""
    return query.format(who=name)


def of_all_it_has(query: str, name: str) -> str:
    """Those too that everybody has, or that its roles have, however deep."""
    return query.format(who=_EVERYWHERE.format(name=name))
